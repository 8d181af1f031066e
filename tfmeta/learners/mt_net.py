"""MT-net (Lee and Choi 2018): a learned mask chooses the units whose weights adapt to a task."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Unpack

import keras
import tensorflow as tf

from tfmeta.inner import optimizers
from tfmeta.learners.core.adaptation import TaskContext
from tfmeta.learners.core.gradient_descent import FixedRates, GradientDescent, Rates
from tfmeta.learners.core.gradient_rule import QueryGradient
from tfmeta.learners.core.options import LearnerOptions
from tfmeta.learners.core.parts import Group, WeightSpec
from tfmeta.learners.meta_learner import MetaLearner

# Folded into a task's key, so that masks differ from dropout, which folds in a step's index.
_MASKS = 0x6D61736B
# A uniform number of 0 would have no logarithm.
_SMALLEST = 1e-30


@dataclasses.dataclass(frozen=True)
class MaskedRates(Rates):
    """Fixed rates times a mask that a task draws once: a binary concrete number a unit.

    Attributes:
        rate: one number, or a dict from patterns to numbers.
        temperature: of the relaxed mask.
        initial_logit: z at the start.
        hard: whether masks are rounded to 0 and 1.
    """

    rate: Any
    temperature: float = 1.0
    initial_logit: float = 0.0
    hard: bool = True
    only_adapted = True

    @property
    def inner_rate(self) -> Any:
        """The fixed rate, for metadata."""
        return self.rate

    def check_network(self, network) -> None:
        """Raises a ValueError for a rate out of its range, or a pattern that matches nothing."""
        FixedRates(self.rate).check_network(network)

    def groups(self, network) -> list[Group]:
        """The logits, one variable a masked layer and number of units."""
        dtype = network.pure.network.trainable_variables[0].dtype
        logits = [
            WeightSpec(
                path=f"mask/{layer}",
                shape=(units,),
                dtype=dtype,
                initializer=keras.initializers.Constant(self.initial_logit),
                name="mask_" + layer.replace("/", "_") + f"_{units}",
            )
            for layer, units in dict.fromkeys(_units(network))
        ]
        return [Group("masks", logits)]

    def prepare(self, context: TaskContext) -> list:
        """The rates times the mask of the task, broadcast along the last axis of a weight."""
        units = _units(context.network)
        masks = self.masks(context.parameters.masks, context.key)
        by_unit = dict(zip(dict.fromkeys(units), masks, strict=True))
        rates = FixedRates(self.rate).of(context.network)
        masked = [rate * by_unit[unit] for rate, unit in zip(rates, units, strict=True)]
        return [rate * context.rate_scale for rate in masked]

    def masks(self, logits, key) -> list[tf.Tensor]:
        """The masks of a task.

        Args:
            logits: list of tensors [units].
            key: int32 [2], the task's.

        Returns:
            List of tensors [units], 0 or 1 if `hard`, otherwise between 0 and 1.
        """
        sizes = [logit.shape[0] for logit in logits]
        key = tf.random.experimental.stateless_fold_in(key, _MASKS)
        # One draw for all masks: a vectorised map draws task by task, in a loop each.
        dtype = logits[0].dtype
        uniform = tf.random.stateless_uniform([sum(sizes)], key, _SMALLEST, 1.0, dtype)
        noise = tf.split(tf.math.log(uniform) - tf.math.log1p(-uniform), sizes)
        soft = [tf.sigmoid((z + n) / self.temperature) for z, n in zip(logits, noise, strict=True)]
        if not self.hard:
            return soft
        return [mask + tf.stop_gradient(tf.round(mask) - mask) for mask in soft]


def _units(network):
    """(layer, units) of each weight that adapts; weights of equal pairs share a mask."""
    return [
        (path.rpartition("/")[0], variable.shape[-1] if variable.shape else 1)
        for path, variable in zip(network.adapted_paths, network.adapted_variables, strict=True)
    ]


@keras.saving.register_keras_serializable("tfmeta")
class MTNet(MetaLearner):
    """MAML whose inner steps move only the weights of units that a sampled mask lets through.

    Each unit has a logit z, trained with the initialisation. A task draws its mask once, and every
    inner step is W <- W - alpha m o gradient, with m = 1 in the columns of the units drawn: the
    binary concrete (Gumbel-softmax) variable sigmoid((z + log u - log(1 - u)) / temperature), u
    uniform, rounded to 0 or 1 (`hard`), with the derivative of what was rounded. Kernel and bias
    of a layer share a mask. A task's mask is a function of its key, in training and, as in the
    authors' code, at test: there too it is drawn, not the likelier value.

    The other half of an MT-net are the matrices of `tfmeta.networks.t_net`, which do not adapt.
    Without them masks alone choose what adapts.

    Example:
        >>> import tfmeta
        >>> network = tfmeta.networks.t_net(tfmeta.networks.mlp(hidden=(40, 40)))
        >>> learner = tfmeta.MTNet(network, inner_rate=0.01, adapted="!*_warp/*")
        >>> [tuple(variable.shape) for variable in learner.logit_variables]
        [(40,), (40,), (1,)]

    Args:
        network: a built `keras.Model` with one output, as `t_net` gives it.
        inner_rate: of all weights, or a dict from patterns to rates.
        inner_steps: in training.
        temperature: of the relaxed mask (the authors' code: 1).
        initial_logit: z at the start; 0 lets through half of the units.
        hard: whether masks are rounded to 0 and 1.
        first_order: whether to leave second derivatives out.
        inner_optimizer: "sgd", "momentum", "adam", or an instance of `tfmeta.inner.SGD`, `.Adam`.
        **options: of `MetaLearner`.
    """

    adaptation: GradientDescent
    chooses = ("adaptation", "gradient_rule")

    def __init__(
        self,
        network: keras.Model,
        inner_rate: Any = 0.01,
        inner_steps: int = 1,
        *,
        temperature: float = 1.0,
        initial_logit: float = 0.0,
        hard: bool = True,
        first_order: bool = False,
        inner_optimizer: Any = "sgd",
        **options: Unpack[LearnerOptions],
    ):
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0. Received: {temperature!r}.")
        optimizer = optimizers.get(inner_optimizer)
        rates = MaskedRates(inner_rate, temperature, initial_logit, hard)
        super().__init__(
            network,
            GradientDescent(rates=rates, optimizer=optimizer),
            QueryGradient(first_order),
            inner_steps=inner_steps,
            **options,
        )
        self.temperature = temperature
        self.initial_logit = initial_logit
        self.hard = hard
        self.first_order = first_order
        self.inner_optimizer = optimizer

    @property
    def logit_variables(self) -> list:
        """The logits [units] of each mask."""
        return self.variables_of("masks")

    def masks(self, logits: Sequence[tf.Tensor], key: tf.Tensor) -> list[tf.Tensor]:
        """The masks of a task; see `MaskedRates.masks`."""
        return self.adaptation.rates.masks(logits, key)
