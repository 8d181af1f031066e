"""How strange a query is to a task's classes: three scores, larger for a stranger."""

from typing import Any

import tensorflow as tf

from tfmeta.inner import normalization as modes
from tfmeta.learners.core.task_network import TaskNetwork

MAX_LOGIT, ENERGY, PROTOTYPE = "max_logit", "energy", "nearest_prototype"


def outlier_score(score: str, logits: tf.Tensor, features: tf.Tensor | None = None) -> tf.Tensor:
    """The score of each query, larger for a stranger.

    "max_logit" is the negative of the largest logit (Hendrycks et al. 2022), "energy" the negative
    of the log of the summed exponentials of the logits (Liu et al. 2020), "nearest_prototype" the
    squared distance to the nearest prototype, of logits 2 c_k x - ||c_k||^2.

    Example:
        >>> import tensorflow as tf
        >>> from tfmeta.learners.answers.outlier_scores import outlier_score
        >>> outlier_score("max_logit", tf.constant([[2.0, -1.0], [0.5, 0.0]])).numpy()
        array([-2. , -0.5], dtype=float32)

    Args:
        score: name of the score.
        logits: [Q, ..., ways].
        features: embeddings [Q, F] of the queries; "nearest_prototype" needs them.

    Returns:
        [Q, ...].
    """
    if score == MAX_LOGIT:
        return -tf.reduce_max(logits, axis=-1)
    if score == ENERGY:
        return -tf.reduce_logsumexp(logits, axis=-1)
    squares = tf.reduce_sum(tf.square(tf.cast(features, logits.dtype)), axis=-1)
    return squares - tf.reduce_max(logits, axis=-1)


def scores_of(learner) -> tuple[str, ...]:
    """Names of the scores that a learner's queries can have; empty where they can have none.

    Args:
        learner: a compiled `MetaLearner`.
    """
    kind = learner.loss_function.kind
    if not kind.takes_logits:
        return ()
    if learner.task_network.log_probabilities:  # Their energy is 0.
        return (MAX_LOGIT,)
    of_prototypes = any(part.sets_prototypes for part in learner.parts)
    return (MAX_LOGIT, ENERGY, *((PROTOTYPE,) if of_prototypes else ()))


def default_score(learner) -> str | None:
    """The score of a learner for which none was measured; None where it can have none."""
    known = scores_of(learner)
    return ENERGY if ENERGY in known else (known or (None,))[0]


def check_score(learner, score: str, inner_steps: int | None = None) -> None:
    """Raises a ValueError unless a learner's queries can have the score.

    Args:
        learner: a compiled `MetaLearner`.
        score: name of the score.
        inner_steps: number of inner steps before the queries are answered; None:
            `test_inner_steps`.
    """
    known = scores_of(learner)
    if not known:
        raise ValueError(
            "Outlier scores are for classifiers of several classes by a cross-entropy from logits. "
            f"Received: {type(learner).__name__} with the loss {learner.loss_function.loss.name!r}."
            " Compile with keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
        )
    if score not in known:
        raise ValueError(
            f"The score must be one of {', '.join(map(repr, known))} for a "
            f"{type(learner).__name__}. Received: {score!r}. Pass one of these."
        )
    steps = learner.test_inner_steps if inner_steps is None else inner_steps
    if score == PROTOTYPE and not steps:
        others = " or ".join(repr(name) for name in known if name != PROTOTYPE)
        raise ValueError(
            f"{PROTOTYPE!r} is a distance to the prototypes, which the first inner step sets. "
            f"Received: inner_steps=0. Pass inner_steps=1, or the score {others}."
        )


def query_scores(
    network: TaskNetwork,
    scores: tuple[str, ...],
    weights,
    network_state,
    query_inputs: Any,
    support,
    outputs: tf.Tensor,
    mode: str | None = None,
    query_weights: tf.Tensor | None = None,
) -> dict[str, tf.Tensor]:
    """Scores of a task's queries by name, each [Q, ...].

    Args:
        network: of the learner.
        scores: names of scores.
        weights: list of tensors, adapted to the task.
        network_state: list of tensors.
        query_inputs: [Q, ...] or a structure of such tensors.
        support: `Examples`, or None where the normalisation does not need them.
        outputs: the network's logits [Q, ..., ways] of the queries.
        mode: another normalisation mode than the network's, or None.
        query_weights: [Q] or None.
    """
    features = None
    if PROTOTYPE in scores:
        network = network.for_weights(weights)
        features, _, _ = modes.query_outputs(
            network.embedding.pure,
            mode or network.normalization,
            network.embedding.weights(weights),
            network_state,
            query_inputs,
            support,
            query_weights,
            parallel=network.parallel,
        )
    return {name: outlier_score(name, outputs, features) for name in scores}
