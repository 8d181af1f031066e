"""Whether an example's output depends on the other examples of its batch, found by trying."""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfmeta.derivatives.exact import exact_derivatives
from tfmeta.inner.example_wise import answers_alone
from tfmeta.inner.layer_study import known_study, takes_training
from tfmeta.inner.trials import (
    EXAMPLES,
    ROUNDING,
    TRIES,
    changed,
    known_words,
    random_input,
    random_weight,
    trial_specs,
)


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
    found = _tried(pure, inputs, _Call(training=True, weighted=False))
    return True if found is None else found


def absent_examples_matter(pure, inputs=None, *, training: bool) -> bool:
    """Whether an example of weight 0 still changes the outputs of other examples.

    Normalisation by moments leaves such examples out. Other functions of the whole batch, as
    `Softmax(axis=0)`, do not know of weights. The network is tried as `depends_on_batch` does,
    with weights 1, 0, ..., 0, 1. Where this cannot be decided, the answer is True for a network
    with layers or functions that are not Keras' own.

    Args:
        pure: a `PureNetwork`.
        inputs: as of `depends_on_batch`.
        training: whether the network runs in training mode.
    """
    found = _tried(pure, inputs, _Call(training=training, weighted=True))
    return known_study(pure.network) is None if found is None else found


def absent_examples_move(pure, inputs=None) -> bool:
    """Whether an example of weight 0 changes the state that a call in training mode leaves.

    Where this cannot be decided, the answer is as of `absent_examples_matter`.

    Args:
        pure: a `PureNetwork`.
        inputs: as of `depends_on_batch`.
    """
    call = _Call(training=True, weighted=True)
    found = _tried(pure, inputs, call, _neighbours_move)
    return known_study(pure.network) is None if found is None else found


def absent_examples_cost(pure, inputs=None, *, training: bool) -> bool:
    """Whether an example of weight 0 changes the network's own losses.

    Activity regularisers and `add_loss` take all examples of a batch alike. Where this cannot be
    decided, the answer is False, and `absent_examples_matter` says True of such a network.

    Args:
        pure: a `PureNetwork`.
        inputs: as of `depends_on_batch`.
        training: whether the network runs in training mode.
    """
    layers = pure.network._flatten_layers()
    known = known_study(pure.network) is not None
    if known and not any(layer.activity_regularizer for layer in layers):
        return False
    call = _Call(training=training, weighted=True, losses=True)
    return bool(_tried(pure, inputs, call, _neighbours_move))


def mixing_layers(pure: Any, *, training: bool) -> list[str]:
    """Names of a network's layers that look across the batch without regard to weights.

    Each is tried by itself, where the network says what it takes; composite layers are left to
    their parts.

    Args:
        pure: a `PureNetwork`, which has been called.
        training: whether layers run in training mode.
    """
    left_out = {id(layer) for layer in pure.study.noisy}
    return [
        f"{layer.name} ({type(layer).__name__})"
        for layer in pure.network._flatten_layers(include_self=False)
        if not isinstance(layer, (keras.Model, keras.layers.InputLayer))
        and id(layer) not in left_out
        and _mixes(layer, training)
    ]


class _Call(NamedTuple):
    """How a network is called when it is tried.

    Attributes:
        training: whether in training mode.
        weighted: whether all examples but the first and the last have weight 0.
        losses: whether the network's own losses are asked for, not outputs or state.
    """

    training: bool
    weighted: bool
    losses: bool = False

    def weights(self, count):
        """Weights [count] of examples, or None."""
        if not self.weighted:
            return None
        return tf.constant([1.0, *[0.0] * (count - 2), 1.0])


def _tried(pure, inputs, call, question=None):
    """Whether neighbours change an output; None where this cannot be decided.

    Args:
        pure: a `PureNetwork`.
        inputs: as of `depends_on_batch`.
        call: a `_Call`.
        question: None, or a function as `_neighbours_matter` that asks for something else.
    """
    specs = trial_specs(pure.network, inputs)
    if specs is None:
        return None

    def one(seed):
        rng = np.random.default_rng(seed)
        weights = [random_weight(rng, v) for v in pure.network.trainable_variables]
        state = [tf.convert_to_tensor(v) for v in pure.network.non_trainable_variables]

        def run(batch):
            examples = len(keras.tree.flatten(batch)[0])
            outputs, moved, losses = pure(
                weights,
                state,
                batch,
                batch_statistics=call.training,
                example_weights=call.weights(examples),
            )
            if call.losses:
                return [np.asarray(tf.cast(loss, tf.float64)).sum() for loss in losses]
            if question is None:
                return np.asarray(tf.cast(outputs, tf.float64))
            return [np.asarray(tf.cast(moved[position], tf.float64)) for position in pure.moving]

        ask = question or _neighbours_matter
        return ask(run, specs, known_words(pure.network), rng)

    try:
        with tf.init_scope():
            found = [one(seed) for seed in range(TRIES)]
    except (ValueError, TypeError, ArithmeticError, tf.errors.OpError):
        return None
    return None if all(answer is None for answer in found) else any(found)


def _mixes(layer, training):
    try:
        tensors = layer.input
        specs = keras.tree.map_structure(
            lambda t: tf.TensorSpec((EXAMPLES, *tuple(t.shape)[1:]), t.dtype), tensors
        )
        call = _Call(training=training, weighted=True)
        options = {"training": training} if takes_training(layer) else {}

        def run(batch):
            examples = len(keras.tree.flatten(batch)[0])
            with (
                exact_derivatives(xla=False, example_weights=call.weights(examples)),
                keras.StatelessScope(),
            ):
                return np.asarray(tf.cast(layer(batch, **options), tf.float64))

        with tf.init_scope():
            return bool(_neighbours_matter(run, specs, ["0", "1"], np.random.default_rng(0)))
    except (ValueError, TypeError, AttributeError, ArithmeticError, tf.errors.OpError):
        return False


def _neighbours_matter(run, specs, words, rng):
    """Whether neighbours change an output; None where the example itself does not either.

    Args:
        run: function of a batch to outputs [N, ...], an array.
        specs: structure of `tf.TensorSpec` that it takes.
        words: that the network knows.
        rng: of the batch.
    """
    first, same_size, smaller, other = _batches(specs, words, rng)
    outputs = run(first)
    scale = np.max(np.abs(outputs))
    same_size, smaller, its_own = run(same_size), run(smaller), run(other)
    ends = [0, -1]
    if not all(np.all(np.isfinite(a)) for a in (outputs, same_size, smaller, its_own)):
        return True
    if any(np.allclose(outputs[i], its_own[i], rtol=0, atol=ROUNDING * scale) for i in ends):
        return None
    return not (
        np.array_equal(outputs[ends], same_size[ends])
        and np.allclose(outputs[ends], smaller[ends], rtol=0, atol=ROUNDING * scale)
    )


def _neighbours_move(run, specs, words, rng):
    """As `_neighbours_matter`, of the state [...], a list of arrays, that `run` gives."""
    first, same_size, smaller, _ = (run(batch) for batch in _batches(specs, words, rng))
    return any(
        not np.allclose(one, moved, rtol=ROUNDING, atol=0)
        for changed in (same_size, smaller)
        for one, moved in zip(first, changed, strict=True)
    )


def _batches(specs, words, rng):
    """Four batches: one, two whose first and last example are the same, and one all other."""
    first = keras.tree.map_structure(lambda spec: random_input(rng, spec, words), specs)
    other = keras.tree.map_structure(lambda tensor: changed(tensor, words), first)
    return first, _joined(first, other, EXAMPLES), _joined(first, other, EXAMPLES - 1), other


def _joined(first, other, count):
    """`count` examples: the first and the last of `first`, those of `other` between them."""
    return keras.tree.map_structure(
        lambda a, b: tf.concat([a[:1], b[1 : count - 1], a[-1:]], axis=0), first, other
    )
