"""Guards: what a request must fulfil, checked in the graph before anything is computed with it.

TensorFlow's C API, and so TF Serving, feeds tensors of any rank and shape whatever the signature
says. So the graph's own inputs have unknown shapes; each guard is an `Assert` that names the
input and the rule, and what follows depends on it by a control dependency. A broken guard is an
INVALID_ARGUMENT of this request only.
"""

import re

import tensorflow as tf

ROW_SUM_TOLERANCE = 1e-3  # float32 one-hot or smoothed rows of a thousand classes stay within


class Guards:
    """The guards of one signature, collected while it is traced.

    Example:

        guards = Guards()
        inputs = guards.shape("query_inputs", query_inputs, (None, 28, 28, 1), "float32")
        guards.require(tf.shape(inputs)[0] <= 10, "query_inputs must have at most 10 examples.")
        inputs = guards.passed(inputs)
    """

    def __init__(self):
        self._asserts = []

    def require(self, condition, rule, received=None, advice=""):
        """Adds a guard.

        Args:
            condition: scalar bool tensor.
            rule: a sentence that names the input.
            received: tensor to show, or None.
            advice: what to do.
        """
        shown = [f"{rule} Received:", received, advice] if received is not None else [rule, advice]
        self._asserts.append(
            tf.raw_ops.Assert(
                condition=condition, data=[part for part in shown if part is not None], summarize=8
            )
        )

    def shape(self, name, tensor, shape):
        """Guards rank and sizes of an input.

        Args:
            name: the input's name.
            tensor: the input, of unknown static shape.
            shape: what it must be; None where a size is free.

        Returns:
            The tensor, with that static shape.
        """
        rank = len(shape)
        received = tf.shape(tensor)
        padded = tf.concat([received, tf.fill([rank], -1)], axis=0)[:rank]
        fixed = [axis for axis, size in enumerate(shape) if size is not None]
        sizes = tf.constant([shape[axis] for axis in fixed], tf.int32)
        agree = tf.reduce_all(tf.equal(tf.gather(padded, tf.constant(fixed, tf.int32)), sizes))
        self.require(
            tf.logical_and(tf.equal(tf.rank(tensor), rank), agree),
            f"{name} must have the shape {_show(shape)}.",
            received,
            "Send one tensor of that shape.",
        )
        with tf.control_dependencies(self._asserts):
            free = [padded[axis] if size is None else size for axis, size in enumerate(shape)]
            if shape.count(None) == 1:
                free = [-1 if size is None else size for size in shape]
            # Not `ensure_shape`: Grappler carries what that promises back to the graph's input,
            # and then folds the guard to True.
            return tf.reshape(tf.identity(tensor), tf.stack(free) if free else [])

    def passed(self, tensors):
        """The same tensors (any nest), to be had only once every guard so far has passed."""
        with tf.control_dependencies(self._asserts):
            return tf.nest.map_structure(tf.identity, tensors)

    def same_length(self, tensors, axis=0):
        """Requires that all inputs of a dict from names to tensors have the same length."""
        (first, reference), *others = tensors.items()
        for name, tensor in others:
            lengths = tf.stack([tf.shape(reference)[axis], tf.shape(tensor)[axis]])
            self.require(
                tf.equal(lengths[0], lengths[1]),
                f"{first} and {name} must have the same length.",
                lengths,
                "Send one row of each for each example.",
            )

    def length(self, name, tensor, least, most, axis=0, unit="examples"):
        """Requires from `least` to `most` examples (or another unit) along `axis`."""
        received = tf.shape(tensor)[axis]
        if least > 0:
            self.require(
                received >= least,
                f"{name} must have at least {least} example.",
                received,
                "Send the examples to adapt to.",
            )
        self.require(
            received <= most,
            f"{name} must have at most {most} {unit}.",
            received,
            "Send fewer, or export with a higher limit.",
        )

    def finite(self, name, tensor):
        """Requires finite numbers of a float input."""
        if tensor.dtype.is_floating:
            self.require(
                tf.reduce_all(tf.math.is_finite(tensor)),
                f"{name} must be finite numbers. Received: NaN or infinity.",
                advice="Check how the numbers were made.",
            )

    def targets(self, name, tensor, target, ways, ignored=None, limit=None):
        """Requires targets that the loss can take: see `target_rule`."""
        rule = target_rule(name, target, ways, ignored, limit)
        if rule is None:
            return
        more = f"with a higher {limit}" if limit else "a network with more outputs"
        advice = f"Number the classes from 0, or export {more} for more classes."
        self.require(
            targets_agree(tensor, target, ways, ignored=ignored),
            rule,
            worst_target(tensor, target, ways, ignored),
            advice if target == "sparse" else "",
        )


def broken_rule(message) -> str:
    """The guard's own words in an error message of TensorFlow; the whole message if none spoke."""
    found = re.search(r"assertion failed: \[(.*)\]$", message, re.MULTILINE)
    if found is None:
        return message
    words = re.sub(r" Received:\] \[(.*)\] \[", r" Received: \1. ", found[1])
    return words.replace("] [", " ").strip()


def target_rule(name, target, ways, ignored=None, limit=None):
    """The sentence that says what targets must be, or None where any finite number is good.

    Args:
        name: of the input.
        target: "sparse", "one_hot", "binary" or "regression".
        ways: number of classes.
        ignored: a sparse label beside the classes, or None.
        limit: name of the limit that `ways` is, or None.
    """
    return {
        "sparse": f"{name} must be labels in [0, {f'{limit} = ' if limit else ''}{ways})"
        + ("." if ignored is None else f", or the ignored {ignored}."),
        "one_hot": f"{name} must have rows of numbers from 0 to 1 that sum to 1.",
        "binary": f"{name} must be numbers from 0 to 1.",
    }.get(target)


def targets_agree(tensor, target, ways, axes=None, ignored=None):
    """Whether targets obey `target_rule`, reduced over `axes` (all by default)."""
    if target == "sparse":
        good = tf.logical_and(tensor >= 0, tensor < ways)
        if ignored is not None:
            good = tf.logical_or(good, tf.equal(tensor, ignored))
    elif target == "regression":
        good = tf.ones_like(tensor, tf.bool)
    else:
        good = tf.logical_and(tensor >= -ROW_SUM_TOLERANCE, tensor <= 1 + ROW_SUM_TOLERANCE)
    if target == "one_hot":
        sums = tf.reduce_sum(tensor, axis=-1, keepdims=True)
        good = tf.logical_and(good, tf.abs(sums - 1.0) <= ROW_SUM_TOLERANCE)
    return tf.reduce_all(good, axis=axes)


def worst_target(tensor, target, ways, ignored=None):
    """A target, or a row's sum, to show where the rule is broken."""
    flat = tf.reshape(tensor, [-1])
    if target == "one_hot":
        flat = tf.reshape(tf.reduce_sum(tensor, axis=-1), [-1])
    middle = {"sparse": (ways - 1) / 2, "one_hot": 1.0, "binary": 0.5}[target]
    distance = tf.abs(tf.cast(flat, tf.float64) - middle)
    if ignored is not None:
        distance = tf.where(tf.equal(flat, ignored), tf.zeros_like(distance), distance)
    return flat[tf.argmax(distance)]


def _show(shape):
    return "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"
