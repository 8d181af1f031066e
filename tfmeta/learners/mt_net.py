"""MT-net (Lee and Choi 2018): a learned mask chooses the units whose weights adapt to a task."""

import keras
import tensorflow as tf

from tfmeta.learners.maml import MAML

# Folded into a task's key, so that masks and dropout, which folds in a step's index, differ.
_MASKS = 0x6D61736B
# A uniform number of 0 would have no logarithm.
_SMALLEST = 1e-30


@keras.saving.register_keras_serializable("tfmeta")
class MTNet(MAML):
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
        **options: of `MAML`.
    """

    def __init__(
        self,
        network,
        inner_rate=0.01,
        inner_steps=1,
        *,
        temperature=1.0,
        initial_logit=0.0,
        hard=True,
        **options,
    ):
        super().__init__(network, inner_rate, inner_steps, **options)
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0. Received: {temperature!r}.")
        self.temperature = temperature
        self.initial_logit = initial_logit
        self.hard = hard
        self._units = self._masked_units()
        self.logit_variables = [
            self.add_weight(
                shape=(units,),
                initializer=keras.initializers.Constant(initial_logit),
                dtype=network.trainable_variables[0].dtype,
                name="mask_" + layer.replace("/", "_") + f"_{units}",
            )
            for layer, units in dict.fromkeys(self._units)
        ]

    def _masked_units(self):
        """(layer, units) of each weight that adapts; equal ones share a mask."""
        variables = [self.network.trainable_variables[index] for index in self._adapted]
        return [
            (path.rpartition("/")[0], variable.shape[-1] if variable.shape else 1)
            for path, variable in zip(self.adapted_paths, variables, strict=True)
        ]

    @property
    def parameter_variables(self):
        """The network's trainable weights, then the logits [units] of each mask."""
        return [*super().parameter_variables, *self.logit_variables]

    @property
    def parameter_paths(self):
        """Paths of the weights, then "mask/" and the path of each masked layer."""
        layers = [f"mask/{layer}" for layer, _ in dict.fromkeys(self._units)]
        return [*super().parameter_paths, *layers]

    def masks(self, logits, key):
        """The masks of a task.

        Args:
            logits: list of tensors [units].
            key: int32 [2], the task's.

        Returns:
            List of tensors [units], 0 or 1 if `hard`, else between.
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

    def _inner_rates(self, parameters, key):
        masks = self.masks(list(parameters[self._weight_count :]), key)
        by_layer = dict(zip(dict.fromkeys(self._units), masks, strict=True))
        rates = super()._inner_rates(parameters, key)
        # Broadcast along a weight's last axis, that of the units.
        return [rate * by_layer[unit] for rate, unit in zip(rates, self._units, strict=True)]

    def get_config(self):
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "initial_logit": self.initial_logit,
            "hard": self.hard,
        }
