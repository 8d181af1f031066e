"""A Keras model as a pure function of its weights and state."""

import contextlib
import inspect
import threading

import keras
import tensorflow as tf

from tfmeta.inner.exact import exact_derivatives
from tfmeta.inner.losses import mask_of, with_mask

# Layer attributes that make a layer random in training; 0 turns each off.
_NOISE_ATTRIBUTES = ("rate", "stddev", "dropout", "recurrent_dropout")


class PureNetwork:
    """`network` as a function `(weights, state, inputs) -> outputs` without side effects.

    Derivatives through it are exact to any order (`tfmeta.inner.exact`). Recurrent layers are
    unrolled while tracing, since neither cuDNN's kernels nor `while_loop` in a vectorised map
    have the derivatives that are needed; dropout and noise layers are off unless asked for.

    Attributes:
        network: the wrapped `keras.Model`; its variables are read only when given as `weights`.
    """

    def __init__(self, network: keras.Model, *, dropout: bool = False):
        self.network = network
        self.dropout = dropout
        self.xla = False
        self._lock = threading.RLock()
        self._takes_training = "training" in inspect.signature(network.call).parameters
        self._seed_positions = [
            position
            for position, variable in enumerate(network.non_trainable_variables)
            if variable.path.split("/")[-1] == "seed_generator_state"
        ]

    @property
    def paths(self) -> list[str]:
        """Path of each trainable weight relative to the network, as "conv_1/kernel"."""
        return [relative_path(self.network, v) for v in self.network.trainable_variables]

    def __call__(self, weights, state, inputs, *, batch_statistics, example_weights=None, key=None):
        """Runs the network.

        Args:
            weights: list of tensors, order of `network.trainable_variables`.
            state: list of tensors, order of `network.non_trainable_variables`.
            inputs: tensor [N, ...] or dict of tensors.
            batch_statistics: whether layers run in training mode (normalise with the batch's
                own statistics), else with their moving averages.
            example_weights: tensor [N], or [N, ...] with a weight an element, or None; examples
                of weight 0 leave batch statistics.
            key: int32 [2] that seeds dropout, where it is on; None leaves dropout out.

        Returns:
            outputs [N, ...] (float32 at least, with the network's mask where it gives one: see
            `mask_of`), the new state, and the list of the network's own losses (weight and
            activity regularisation).
        """
        dropout = self.dropout and key is not None
        state = self._seeded(state, key)
        settings = _layer_settings(self.network, dropout, batch_statistics)
        with (
            self._lock,
            settings,
            exact_derivatives(xla=self.xla, example_weights=_of_examples(example_weights)),
        ):
            outputs, new_state, losses = self._stateless(
                list(weights), state, inputs, batch_statistics or dropout
            )
        if not tf.is_tensor(outputs):
            raise ValueError(
                "A network must have one output. "
                f"Received: {self.network.name!r}, which gives a {type(outputs).__name__}. "
                "Take one of its outputs: keras.Model(inputs, outputs[0])."
            )
        if outputs.dtype in (tf.bfloat16, tf.float16):
            outputs = with_mask(tf.cast(outputs, tf.float32), mask_of(outputs))
        return outputs, [tf.convert_to_tensor(value) for value in new_state], losses

    def _stateless(self, weights, state, inputs, training):
        if self._takes_training:
            return self.network.stateless_call(
                weights, state, inputs, training=training, return_losses=True
            )
        # A subclassed model whose `call` has no `training` gets it to its layers by Keras' call
        # context, which `stateless_call` does not enter.
        variables = [*self.network.trainable_variables, *self.network.non_trainable_variables]
        mapping = list(zip(variables, [*weights, *state], strict=True))
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
            outputs = self.network(inputs, training=training)
            losses = self.network.losses
        non_trainable = self.network.non_trainable_variables
        return outputs, [scope.get_current_value(v) for v in non_trainable], losses

    def _seeded(self, state, key):
        state = [tf.convert_to_tensor(value) for value in state]
        if key is None or not self.dropout:
            return state
        for position in self._seed_positions:
            # Folding the position in keeps two dropout layers of one network apart.
            folded = tf.random.experimental.stateless_fold_in(key, position)
            state[position] = tf.cast(folded, state[position].dtype)
        return state


def _of_examples(weights):
    """One weight an example: an example is absent where the weights of all its elements are 0."""
    if weights is None or weights.shape.rank == 1:
        return weights
    axes = list(range(1, weights.shape.rank))
    return tf.reduce_max(tf.cast(tf.not_equal(weights, 0), tf.float32), axis=axes)


def relative_path(network, variable) -> str:
    """Path of a variable of `network`, without the network's own name."""
    return variable.path.removeprefix(network.name + "/")


@contextlib.contextmanager
def _layer_settings(network, dropout, batch_statistics):
    """Sets layers for one call, and then puts all back.

    Recurrent ones are unrolled; without `dropout`, random ones (of images too) are silent; with
    it and without `batch_statistics`, batch normalisation keeps to its averages.
    """
    changed, not_training = [], []

    def change(layer, name, value):
        if getattr(layer, name, None) is not None and getattr(layer, name) != value:
            changed.append((layer, name, getattr(layer, name)))
            setattr(layer, name, value)

    try:
        for layer in network._flatten_layers():
            if isinstance(layer, keras.layers.RNN):
                change(layer, "unroll", True)
                change(layer, "use_cudnn", False)
            if not dropout and _is_random(layer):
                for name in _NOISE_ATTRIBUTES:
                    if isinstance(getattr(layer, name, None), (int, float)):
                        change(layer, name, 0.0)
            averages = isinstance(layer, keras.layers.BatchNormalization) and not batch_statistics
            if averages if dropout else _augments(layer):
                layer.call = _without_training(layer.call)
                not_training.append(layer)
        yield
    finally:
        for layer in not_training:
            del layer.call
        for layer, name, value in reversed(changed):
            setattr(layer, name, value)


def _without_training(call):
    def call_without_training(*args, training=None, **kwargs):
        return call(*args, training=False, **kwargs)

    return call_without_training


def _augments(layer):
    # Keras' RandomFlip and its like.
    return isinstance(getattr(layer, "generator", None), keras.random.SeedGenerator)


def _is_random(layer):
    # Keras' convention, which custom layers follow too: randomness comes from a seed generator.
    return getattr(layer, "seed_generator", None) is not None
