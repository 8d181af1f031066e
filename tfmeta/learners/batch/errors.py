"""What a learner says when a batch is wrong: one sentence, without the graph above it."""

import re

import tensorflow as tf

_ASSERTED = "assertion failed: "
_EAGER = "to be true. Summarized data: "  # the same outside of a graph
_AFTER_CALL = "\x1b[0m"  # Keras adds the arguments of a layer's call
_YIELDED = "yielded an element of "
_UNEQUAL = "Cannot batch tensors with different shapes"
# Of a message: what the failing operation is called, and where its data came from.
_NODES = re.compile(r"\s*\[(\[\{\{|Op:).*", re.DOTALL)


class BatchError(ValueError, tf.errors.InvalidArgumentError):
    """A batch or a step that an assertion within a compiled function refused.

    It is a `ValueError`, as a batch gets that is refused before a function is compiled, and a
    `tf.errors.InvalidArgumentError`, which TensorFlow raises for an assertion.

    Args:
        message: the rule, what was received, and what to do.
    """

    def __init__(self, message: str):
        tf.errors.InvalidArgumentError.__init__(self, None, None, message)


class in_words:
    """A context that leaves of an error raised within a graph the sentence, without the graph.

    Errors of other code, a layer of the user's for instance, keep their traceback.

    Raises:
        BatchError: for a failed assertion, and for streams whose tasks or batches differ in size.
    """

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, tf.errors.InvalidArgumentError) and not isinstance(error, BatchError):
            said = asserted(error) or _said_of_sizes(error)
            if said is not None:
                raise BatchError(said) from None
        elif isinstance(error, (ValueError, TypeError)) and _is_of_tfmeta(traceback):
            raise error.with_traceback(None) from None


def asserted(error: tf.errors.OpError) -> str | None:
    """The sentence of a failed `tf.debugging.Assert`; None for another error."""
    message = error.message or ""
    if _EAGER in message:
        said = message.split(_EAGER, 1)[1].split(_AFTER_CALL)[0]
        return said.removeprefix("b").replace("'", "").replace("\n", " ")
    if _ASSERTED not in message:
        return None
    parts = _NODES.sub("", message.split(_ASSERTED, 1)[1].split("\n")[0])
    return re.sub(r"\] \[", " ", parts).removeprefix("[").removesuffix("]")


def _said_of_sizes(error):
    message = error.message or ""
    if _YIELDED in message:
        said = message.split(_YIELDED, 1)[1].split("\n")[0]
        said = said.split(" was expected")[0]
        return (
            "Every batch of a generator must have the types and shapes of its first batches. "
            f"Received: an element of {said} was expected. Yield batches of one size, or make a "
            "tf.data.Dataset.from_generator whose output_signature has None for sizes that differ."
        )
    if _UNEQUAL in message:
        said = _NODES.sub("", _UNEQUAL + message.split(_UNEQUAL, 1)[1].split("\n")[0])
        return (
            f"Tasks of a batch must have as many examples as each other. Received: {said} Use "
            "`.batch(1)`, or `.padded_batch(tasks)` with weights 0 for what is padded: "
            "((support_x, support_y, query_x, support_weights), query_y, query_weights)."
        )
    return None


def _is_of_tfmeta(traceback) -> bool:
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_globals.get("__name__", "").startswith("tfmeta.")
