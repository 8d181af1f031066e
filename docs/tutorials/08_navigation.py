# %% [markdown]
# # 2D navigation
#
# A point starts in the middle of a plane and must find a goal that it does not see. Its reward is
# minus the distance to the goal. A task is a goal. MAML trains a policy that one policy gradient, on
# 20 trajectories, adapts to a goal.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

from tfmeta import rl

keras.utils.set_random_seed(0)
STEPS = 10
TASKS = 10

# %% [markdown]
# ## Environment and policy
#
# The environment computes all tasks and trajectories together, as TensorFlow operations. The policy
# is a Gaussian whose mean is an MLP.

# %%
environment = rl.Navigation(horizon=50)
network = rl.gaussian_mlp(environment.observation_size, environment.action_size)
learner = rl.PolicyMAML(network, environment, inner_rate=0.1, inner_steps=1, outer=rl.TRPO())

# %% [markdown]
# ## Train
#
# TRPO takes the outer step. It is a whole step, so the Keras optimizer is SGD with rate 1. A support
# set is 20 trajectories, and so is a query set. The paper takes 100 steps of 40 tasks with 100
# steps in time.

# %%
learner.compile(keras.optimizers.SGD(1.0))
train = rl.environment_tasks(environment, "train", shots=20, seed=0).batch(TASKS)
history = learner.fit(train, steps_per_epoch=1, epochs=STEPS, verbose=0).history
for name in ("return_before", "return_after"):
    print(f"{name}: {history[name][0]:.1f} at first, {history[name][-1]:.1f} at the end")

# %% [markdown]
# ## Adapt to goals of the test split
#
# `trajectories` draws trajectories of the policy before adaptation and after each update.

# %%
test = rl.environment_tasks(environment, "test", shots=20, seed=1, count=4).batch(4)
episodes = learner.trajectories(next(iter(test)), inner_steps=2)
figure, axes = plt.subplots(1, 4, figsize=(10, 2.6), sharex=True, sharey=True)
for task, axis in enumerate(axes):
    for update, after in enumerate(episodes):
        path = np.asarray(after.observations)[task, 0]
        alive = np.asarray(after.mask)[task, 0] > 0
        axis.plot(*path[alive].T, label=f"after {update} updates")
    axis.set_aspect("equal")
axes[0].legend(fontsize=7)
plt.show()

# %% [markdown]
# ## The paper's length
#
# ```bash
# python -m tfmeta.train --gin_file=rl_navigation_maml.gin --workdir=runs/rl_navigation
# ```
#
# takes 9 minutes on one core. [Results](../results.md#reinforcement-learning) has its returns beside
# a policy that was trained on all goals at once. [Reinforcement
# learning](../explanations/reinforcement_learning.md) has your own environment.
