"""Whether weights change what a network answers, found by trying."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfmeta.inner.trials import TRIES, known_words, random_input, random_weight, trial_specs

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
