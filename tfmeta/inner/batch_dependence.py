"""Whether an example's output depends on the other examples of its batch, found by trying."""

import keras
import numpy as np
import tensorflow as tf

from tfmeta.inner.example_wise import answers_alone
from tfmeta.inner.input_specs import input_specs, specs_like

# Any size that convolutions without a fixed size take; a sequence's is as good.
_FREE_SIZE = 16
_EXAMPLES = 4
_TRIES = 3
# Other numbers of rows may be added in another order.
_ROUNDING = 1e-3


def depends_on_batch(pure, inputs=None) -> bool:
    """Whether outputs in training mode depend on neighbours in the batch.

    Layers whose types are known (`example_wise`) need no trial, nor does batch normalisation that
    learns. Any other network is run on a few small batches with random weights: the first and
    last examples stay, and the others change, in value and number. Where this cannot be decided
    (inputs of unknown form, outputs that are no finite numbers or that do not depend on the
    example itself), the answer is True.

    Args:
        pure: a `PureNetwork`.
        inputs: tensors [N, ...] of the form that the network takes, for a network that does not
            say itself.
    """
    if answers_alone(pure.network, training=True):
        return False
    layers = pure.network._flatten_layers()
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers):
        return True
    specs = input_specs(pure.network)
    if specs is None and inputs is not None:
        specs = specs_like(inputs)
    if specs is None or any(spec.shape.rank is None for spec in keras.tree.flatten(specs)):
        return True
    try:
        with tf.init_scope():
            found = [_neighbours_matter(pure, specs, seed) for seed in range(_TRIES)]
    except (ValueError, TypeError, ArithmeticError, tf.errors.OpError):
        return True
    return any(found) or all(answer is None for answer in found)


def _neighbours_matter(pure, specs, seed):
    """Whether neighbours change an output; None where the example itself does not either."""
    rng = np.random.default_rng(seed)
    weights = [_random_weight(rng, v) for v in pure.network.trainable_variables]
    state = [tf.convert_to_tensor(v) for v in pure.network.non_trainable_variables]

    def run(batch):
        outputs, _, _ = pure(weights, state, batch, batch_statistics=True)
        return np.asarray(tf.cast(outputs, tf.float64))

    words = _words(pure.network)
    first = keras.tree.map_structure(lambda spec: _random_input(rng, spec, words), specs)
    other = keras.tree.map_structure(lambda tensor: _changed(tensor, words), first)
    outputs = run(first)
    scale = np.max(np.abs(outputs))
    same_size = run(_joined(first, other, _EXAMPLES))
    smaller = run(_joined(first, other, _EXAMPLES - 1))
    its_own = run(other)
    ends = [0, -1]
    if not all(np.all(np.isfinite(a)) for a in (outputs, same_size, smaller, its_own)):
        return True
    if any(np.allclose(outputs[i], its_own[i], rtol=0, atol=_ROUNDING * scale) for i in ends):
        return None
    return not (
        np.array_equal(outputs[ends], same_size[ends])
        and np.allclose(outputs[ends], smaller[ends], rtol=0, atol=_ROUNDING * scale)
    )


def _joined(first, other, count):
    """`count` examples: the first and the last of `first`, those of `other` between them."""
    return keras.tree.map_structure(
        lambda a, b: tf.concat([a[:1], b[1 : count - 1], a[-1:]], axis=0), first, other
    )


def _random_weight(rng, variable):
    shape = tuple(variable.shape)
    values = rng.normal(size=shape) / np.sqrt(max(1, int(np.prod(shape[:-1]))))
    return tf.constant(values, variable.dtype)


def _random_input(rng, spec, words):
    shape = (_EXAMPLES, *(_FREE_SIZE if n is None else n for n in tuple(spec.shape)[1:]))
    if spec.dtype == tf.string:
        return tf.constant(rng.choice(words, size=shape).astype(object))
    if spec.dtype.is_floating:
        return tf.constant(rng.normal(size=shape), spec.dtype)
    # Every table has a row 0 and 1; pixels have all values.
    return tf.cast(rng.integers(0, 256 if spec.dtype == tf.uint8 else 2, size=shape), spec.dtype)


def _changed(tensor, words):
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


def _words(network):
    """Words that the network knows, or any."""
    known = [
        str(word)
        for layer in network._flatten_layers()
        if hasattr(layer, "get_vocabulary")
        for word in layer.get_vocabulary()
        if isinstance(word, str) and word not in ("", getattr(layer, "oov_token", "[UNK]"))
    ]
    return list(dict.fromkeys(known[:100])) if len(known) > 1 else ["0", "1", "a", "b a"]
