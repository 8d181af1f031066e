"""Small random weights and batches, on which a network is tried to find out what it does."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfmeta.inner.input_specs import input_specs, specs_like

EXAMPLES = 4
TRIES = 3
# Relative: other numbers of rows may be added in another order.
ROUNDING = 1e-3
# Any size that convolutions without a fixed size take; a sequence's is as good.
FREE_SIZE = 16


def trial_specs(network, inputs=None):
    """The structure of `tf.TensorSpec` that a network takes; None where it is not known.

    Args:
        network: a built `keras.Model`.
        inputs: tensors [N, ...] of the form that the network takes, for a network that does not
            say itself.
    """
    specs = input_specs(network)
    if specs is None and inputs is not None:
        specs = specs_like(inputs)
    if specs is None or any(spec.shape.rank is None for spec in keras.tree.flatten(specs)):
        return None
    return specs


def random_weight(rng, variable):
    """A tensor of a weight's shape, of such a size that a layer's outputs are about 1."""
    shape = tuple(variable.shape)
    values = rng.normal(size=shape) / np.sqrt(max(1, int(np.prod(shape[:-1]))))
    return tf.constant(values, variable.dtype)


def random_input(rng, spec, words):
    """A batch of `EXAMPLES` examples of a spec; text is of the given words."""
    shape = (EXAMPLES, *(FREE_SIZE if n is None else n for n in tuple(spec.shape)[1:]))
    if spec.dtype == tf.string:
        return tf.constant(rng.choice(words, size=shape).astype(object))
    if spec.dtype.is_floating:
        return tf.constant(rng.normal(size=shape), spec.dtype)
    # Every table has a row 0 and 1; pixels have all values.
    return tf.cast(rng.integers(0, 256 if spec.dtype == tf.uint8 else 2, size=shape), spec.dtype)


def changed(tensor, words):
    """Other values of the same kind, everywhere."""
    if tensor.dtype == tf.string:
        following = dict(zip(words, [*words[1:], words[0]], strict=True))
        changed = [following[word.decode()] for word in np.ravel(tensor.numpy())]
        return tf.reshape(tf.constant(changed), tensor.shape)
    if tensor.dtype.is_floating:
        return 3 - 5 * tensor
    if tensor.dtype == tf.bool:
        return ~tensor
    return (255 if tensor.dtype == tf.uint8 else 1) - tensor


def known_words(network) -> list[str]:
    """Words that the network knows, or any."""
    known = [
        str(word)
        for layer in network._flatten_layers()
        if hasattr(layer, "get_vocabulary")
        for word in layer.get_vocabulary()
        if isinstance(word, str) and word not in ("", getattr(layer, "oov_token", "[UNK]"))
    ]
    return list(dict.fromkeys(known[:100])) if len(known) > 1 else ["0", "1", "a", "b a"]


# Relative: what batch normalisation takes away leaves the rounding of float32.
_NOTHING = 1e-4


def have_effect(pure: Any, indices: Sequence[int], *, training: bool) -> bool:
    """Whether other values of some weights change an output of a network.

    The network is run on a few small batches, with its own weights and with random ones. Batch
    normalisation, for one, takes away what a weight adds to all examples of a batch alike. Where
    this cannot be decided, the answer is True.

    Args:
        pure: a `PureNetwork`.
        indices: of the weights, among the network's trainable variables; all change together.
        training: whether the network runs in training mode.
    """
    specs = trial_specs(pure.network)
    if specs is None:
        return True
    try:
        with tf.init_scope():
            return any(_changes(pure, specs, set(indices), training, seed) for seed in range(TRIES))
    except (ValueError, TypeError, ArithmeticError, tf.errors.OpError):
        return True


def _changes(pure, specs, indices, training, seed):
    rng = np.random.default_rng(seed)
    variables = pure.network.trainable_variables
    weights = [random_weight(rng, variable) for variable in variables]
    others = [random_weight(rng, variable) for variable in variables]
    if seed == 0:  # Random weights may silence a deep network, as zeros of its own may.
        own = [tf.convert_to_tensor(variable) for variable in variables]
        weights = [w if i in indices else own[i] for i, w in enumerate(weights)]
    other = [others[i] if i in indices else weight for i, weight in enumerate(weights)]
    state = [tf.convert_to_tensor(variable) for variable in pure.network.non_trainable_variables]
    words = known_words(pure.network)
    batch = keras.tree.map_structure(lambda spec: random_input(rng, spec, words), specs)
    one, two = (
        np.asarray(tf.cast(pure(w, state, batch, batch_statistics=training)[0], tf.float64))
        for w in (weights, other)
    )
    # Numbers that are not finite say nothing.
    return not np.max(np.abs(one - two)) <= _NOTHING * np.max(np.abs(one))
