"""The classes of a request: which have an example in its support set, and how many there are.

A class without an example has probability 0 in `predictions` of a head that is set from the
support set, and in `present_probabilities` of any other. Where a servable has `max_ways`, answers
have a column for each class up to the largest label.
"""

import tensorflow as tf

ABSENT = -1e9  # a logit whose softmax is 0 in any float


def gives_present_probabilities(servable) -> bool:
    """Whether answers have `present_probabilities` beside `predictions`."""
    return servable.link == "softmax" and servable.present is None


def present_classes(servable, targets, axes=None):
    """Which classes have an example, bool [..., ways].

    Args:
        servable: of a classifier by softmax.
        targets: tensor [..., S, *target_shape].
        axes: axes that are not reduced, the first so many; None: 0.
    """
    hot = targets > 0
    if servable.target == "sparse":
        # A label outside, which may be the ignored class, is a row of zeros.
        hot = tf.one_hot(targets, servable.ways, on_value=True, off_value=False, dtype=tf.bool)
        if servable.ignore_class is not None:
            hot = tf.logical_and(hot, tf.not_equal(targets, servable.ignore_class)[..., tf.newaxis])
    return tf.reduce_any(hot, axis=list(range(axes or 0, hot.shape.rank - 1)))


def number_of_ways(present):
    """The largest class that has an example + 1, int32 [...]; 0 where none has.

    Args:
        present: bool [..., ways].
    """
    numbers = tf.range(1, tf.shape(present)[-1] + 1)
    return tf.reduce_max(tf.where(present, numbers, 0), axis=-1)


def present_probabilities(logits, present):
    """Softmax [Q, ..., ways] over the classes that have an example; 0 for the others.

    Args:
        logits: [Q, ..., ways].
        present: bool [ways].
    """
    masked = tf.where(present, logits, tf.constant(ABSENT, logits.dtype))
    return tf.where(present, tf.nn.softmax(masked), tf.zeros_like(logits))


def with_classes(servable, answer, present) -> dict:
    """An answer with what the classes of its request say.

    Args:
        servable: `Servable`.
        answer: dict of predictions, and logits for a classifier, [Q, ...].
        present: bool [ways] of the request's support set, or None where it has none.
    """
    if present is None or servable.link != "softmax":
        return answer
    if gives_present_probabilities(servable):
        return {**answer, "present_probabilities": present_probabilities(answer["logits"], present)}
    if servable.max_ways is None:
        return answer
    return cut(answer, number_of_ways(present))


def cut(answer, ways) -> dict:
    """An answer with the columns of so many classes.

    Args:
        answer: dict; "predictions" and "logits" in it have an axis of classes, the last.
        ways: int32 [].
    """
    cut_ones = {name: answer[name][..., :ways] for name in ("predictions", "logits")}
    return {**answer, **cut_ones}
