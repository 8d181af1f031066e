# %% [markdown]
# # An algorithm in a file of your own
#
# Your algorithm differs from MAML in one point. Here it is the direction of an inner step: the
# gradient divided by its norm. You write this point. Training, evaluation, checkpoints and export
# are there already.

# %%
import tfmeta  # first, so that TensorFlow starts quietly

import dataclasses
from pathlib import Path

import keras
import tensorflow as tf

from tfmeta import parts

keras.utils.set_random_seed(0)
STEPS = 300

# %% [markdown]
# ## The part that is new
#
# A learner is a network, an *adaptation* and a *gradient rule*. MAML's adaptation is
# `parts.GradientDescent`, and each of its fields is a part. The field `direction` says what the inner
# optimizer gets. A part is a frozen dataclass; its methods take and return tensors of one task.


# %%
@dataclasses.dataclass(frozen=True)
class UnitGradient(parts.PlainGradient):
    """The gradient divided by its norm, with `floor` against a division by 0."""

    floor: float = 1e-3

    def directions(self, context, prepared, values, gradients):
        """Tensors of the gradients' shapes."""
        norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(g)) for g in gradients]) + self.floor**2)
        return [g / norm for g in gradients]


# %% [markdown]
# ## The learner
#
# A class gives it a name, so that Keras can save it. `chooses` names the arguments of `MetaLearner`
# that your class decides.


# %%
@keras.saving.register_keras_serializable("mine")
class UnitMAML(tfmeta.MetaLearner):
    """MAML whose inner steps have one length."""

    chooses = ("adaptation", "gradient_rule")

    def __init__(self, network, inner_rate=0.1, inner_steps=1, **options):
        adaptation = parts.GradientDescent(
            rates=parts.FixedRates(inner_rate), direction=UnitGradient()
        )
        super().__init__(
            network, adaptation, parts.QueryGradient(), inner_steps=inner_steps, **options
        )


# %% [markdown]
# ## Train and compare
#
# `QueryGradient` differentiates through your inner step, the norm included.

# %%
train = tfmeta.tasks.sinusoid("train", shots=10, seed=0).batch(25)
test = tfmeta.tasks.sinusoid("test", shots=10, seed=1, count=500).batch(100)
for learner in (
    UnitMAML(tfmeta.networks.mlp(hidden=(40, 40)), inner_rate=0.1, inner_steps=3),
    tfmeta.MAML(tfmeta.networks.mlp(hidden=(40, 40)), inner_rate=0.01, inner_steps=3),
):
    learner.compile(keras.optimizers.Adam(1e-3), "mse")
    learner.fit(train, steps_per_epoch=STEPS, verbose=0)
    print(type(learner).__name__, learner.evaluate(test, verbose=0))

# %% [markdown]
# A short run of one seed says nothing about which one is better.
#
# ## Check it
#
# `check_learner` runs the properties that every learner of tfmeta has: the meta-gradient agrees with
# finite differences in float64, all tasks together give what one task after another gives, an export
# answers as the learner does, and others.

# %%
from tfmeta.testing import check_learner

check_learner(UnitMAML)
print("all properties hold")

# %% [markdown]
# ## Use it in a recipe
#
# Put the class into a file beside the recipe. `@gin.configurable` above the class lets the recipe
# set its arguments.

# %%
Path("unit_maml.gin").write_text(
    """
import my_learner                    # my_learner.py beside this file, with the class above
include 'sinusoid_maml.gin'
train.learner = @UnitMAML
UnitMAML.network = @mlp()
UnitMAML.inner_rate = 0.1
"""
)

# %% [markdown]
# ```bash
# python -m tfmeta.train --gin_file=unit_maml.gin --workdir=runs/unit_maml
# ```
#
# [A learner of your own](../guides/own_learner.md) lists all parts, learned variables and gradient
# rules.
