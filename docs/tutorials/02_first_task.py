# %% [markdown]
# # Your first task in five minutes
#
# You train a network on characters of made-up alphabets until it learns five new characters from
# one example each. Nothing is downloaded.

# %%
import tfmeta  # first, so that TensorFlow starts quietly

import keras
import matplotlib.pyplot as plt
import numpy as np

keras.utils.set_random_seed(0)
STEPS = 150

# %% [markdown]
# ## Tasks
#
# `glyphs` draws made-up characters. A task has 5 classes (*ways*), one example a class (*shots*) to
# learn from, and 5 examples a class (*queries*) to be judged by. The classes of `"test"` are never
# seen in training.

# %%
options = {"ways": 5, "shots": 1, "queries": 5}
train = tfmeta.tasks.glyphs("train", seed=0, **options).batch(8)
test = tfmeta.tasks.glyphs("test", seed=1, count=40, **options).batch(8)

(support_x, support_y, query_x), query_y = next(iter(test))
print("support", support_x.shape, "query", query_x.shape)

figure, axes = plt.subplots(1, 5, figsize=(7, 1.8))
for axis, image, label in zip(axes, support_x[0], support_y[0]):
    axis.imshow(image[..., 0], cmap="gray_r")
    axis.set_title(f"class {int(label)}")
    axis.axis("off")
plt.show()

# %% [markdown]
# ## A learner
#
# `MAML` wraps a Keras network. `inner_rate` is the size of the steps that adapt it to a task. You
# compile and fit a learner as any Keras model, on batches of tasks.

# %%
network = tfmeta.networks.conv4(ways=5, filters=32)
learner = tfmeta.MAML(network, inner_rate=1.0, inner_steps=1, test_inner_steps=3)
learner.compile(
    keras.optimizers.Adam(2e-3),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    ["accuracy"],
)
print("before training:", learner.evaluate(test, verbose=0, return_dict=True)["accuracy"])
learner.fit(train, steps_per_epoch=STEPS, verbose=2)
print("after training:", learner.evaluate(test, verbose=0, return_dict=True)["accuracy"])

# %% [markdown]
# Guessing gives 0.2. More steps give more.
#
# ## One task
#
# `adapt` takes one support set and gives a `keras.Model` for this task.

# %%
adapted = learner.adapt(support_x[0], support_y[0])
answers = np.argmax(adapted.predict(query_x[0], verbose=0), axis=-1)

figure, axes = plt.subplots(2, 5, figsize=(7, 3.4))
for axis, image, answer, truth in zip(axes.flat, query_x[0], answers, query_y[0]):
    axis.imshow(image[..., 0], cmap="gray_r")
    axis.set_title(f"{answer} (is {int(truth)})")
    axis.axis("off")
plt.show()

# %% [markdown]
# ## Serve it
#
# The exported model adapts by itself: each request brings a support set and queries.

# %%
learner.export("exported/glyphs")

# %% [markdown]
# `exported/glyphs/1/` is a SavedModel for TensorFlow Serving. Next:
#
# - [Your own images](03_own_images.ipynb)
# - [Tables and series](04_tables_and_series.ipynb)
# - [Choosing an algorithm](../algorithms/index.md)
