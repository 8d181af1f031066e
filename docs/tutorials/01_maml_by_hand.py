# %% [markdown]
# # MAML by hand
#
# This tutorial writes MAML with two `tf.GradientTape`s, then gets the same gradient from tfmeta.
# You need to know what a gradient is, and a little Keras. It takes two minutes.
#
# A *task* is one sinusoid $y = A \sin(x - b)$. You know five of its points, the *support set*.
# You want to predict others, the *query set*. MAML looks for weights from which one gradient step
# on the support set predicts the query set well.

# %%
import tfmeta  # first, so that TensorFlow starts quietly

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(0)
STEPS = 1000

stream = tfmeta.tasks.sinusoid("train", shots=5, seed=0)
(support_x, support_y, query_x), query_y = next(iter(stream))
print("support", support_x.shape, "query", query_x.shape)

# %% [markdown]
# ## The inner step
#
# The network is an MLP. To use it with weights other than its own, call it as a pure function with
# `stateless_call`. The inner step descends the loss of the support set, from the weights $w$:
#
# $$w' = w - \alpha \nabla S(w)$$

# %%
network = tfmeta.networks.mlp(hidden=(40, 40))
INNER_RATE = 0.01


def loss_of(weights, x, y):
    """The mean squared error of the network with these weights."""
    predictions, _ = network.stateless_call(weights, [], x)
    return tf.reduce_mean(tf.square(predictions - y))


def inner_step(weights):
    """Weights after one gradient step on the support set."""
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = loss_of(weights, support_x, support_y)
    gradients = tape.gradient(loss, weights)
    return [w - INNER_RATE * g for w, g in zip(weights, gradients)]


# %% [markdown]
# ## The meta-gradient
#
# The second tape records the inner step, and so differentiates through it. This needs the second
# derivative of the support loss:
#
# $$\nabla_w Q(w') = (I - \alpha H) \nabla Q(w')$$

# %%
weights = [tf.convert_to_tensor(variable) for variable in network.trainable_variables]
with tf.GradientTape() as outer_tape:
    outer_tape.watch(weights)
    query_loss = loss_of(inner_step(weights), query_x, query_y)
by_hand = outer_tape.gradient(query_loss, weights)
print("query loss after the inner step:", float(query_loss))

# %% [markdown]
# ## The same from tfmeta
#
# `tfmeta.MAML` wraps the network. It takes batches of tasks, so each array has one more axis in front.
# `meta_gradient` gives the mean over the tasks of the batch, here of one task.

# %%
learner = tfmeta.MAML(network, inner_rate=INNER_RATE, inner_steps=1)
learner.compile("adam", "mse")
batch = (support_x[None], support_y[None], query_x[None])
gradients, _ = learner.meta_gradient(batch, query_y[None])

largest = max(float(tf.reduce_max(tf.abs(a - b))) for a, b in zip(by_hand, gradients))
print("largest difference:", largest)
assert largest < 1e-5

# %% [markdown]
# ## Without the second derivative
#
# First-order MAML leaves out $H$. Its gradient is another one.

# %%
first_order = tfmeta.MAML(network, inner_rate=INNER_RATE, inner_steps=1, first_order=True)
first_order.compile("adam", "mse")
cheap, _ = first_order.meta_gradient(batch, query_y[None])


def norm(tensors):
    """The norm of a list of tensors as one vector."""
    return float(tf.linalg.global_norm(tensors))


share = norm([a - b for a, b in zip(gradients, cheap)]) / norm(gradients)
print(f"first order differs by {100 * share:.1f} % of the meta-gradient")

# %% [markdown]
# ## Train
#
# `fit` descends the meta-gradient with a Keras optimizer. Then `adapt` takes a support set and gives
# a Keras model.

# %%
learner.compile(keras.optimizers.Adam(1e-3), "mse")
learner.fit(stream.batch(25), steps_per_epoch=STEPS, verbose=0)

test = tfmeta.tasks.sinusoid("test", shots=5, seed=1)
(support_x, support_y, query_x), query_y = next(iter(test))
adapted = learner.adapt(support_x, support_y, inner_steps=5)

grid = np.linspace(-5, 5, 200, dtype="float32")[:, None]
plt.plot(grid, network.predict(grid, verbose=0), ":", color="gray", label="before adaptation")
plt.plot(grid, adapted.predict(grid, verbose=0), color="#0072B2", label="after 5 inner steps")
plt.plot(query_x, query_y, "kx", label="query set")
plt.plot(support_x, support_y, "o", color="#D55E00", label="support set")
plt.legend()
plt.xlabel("x")
plt.ylabel("y")
plt.show()

# %% [markdown]
# ## What you have seen
#
# - The inner loop fits a task. The outer loop improves the start of the inner loop.
# - The meta-gradient goes through the inner step, so it contains second derivatives.
# - tfmeta computes this gradient for any Keras network, for all tasks of a batch together.
#
# Reptile, another algorithm, needs no second derivatives: it moves the weights towards the adapted
# weights. [Choosing an algorithm](../algorithms/index.md) compares them.
