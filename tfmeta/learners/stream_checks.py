"""Whether a stream of tasks ends, which Keras' loops must know."""

import contextlib
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf


def check_ends(x: Any, steps: int | None, name: str, verb: str) -> None:
    """Refuses a stream without an end, unless a number of steps is given.

    Args:
        x: what is given to `fit`, `evaluate` or `predict`.
        steps: number of batches, or None.
        name: argument that holds `steps`.
        verb: what is done with the stream, for the error.

    Raises:
        ValueError: for a stream that is known to be endless, or empty. Of one that doesn't know its
            length a warning says what to pass.
    """
    if _is_empty(x):
        raise no_tasks(verb)
    if steps is not None:
        return
    if is_endless(x):
        raise ValueError(
            f"{verb} an endless stream of tasks needs `{name}`. Received: {name}=None. "
            f"Give the stream a `count=`, or pass `{name}=`."
        )
    if inspect.isgenerator(x) or (
        isinstance(x, tf.data.Dataset) and x.cardinality().numpy() == tf.data.UNKNOWN_CARDINALITY
    ):
        kind = "A generator" if inspect.isgenerator(x) else "This tf.data.Dataset"
        warnings.warn(
            f"{kind} doesn't know its length: {verb.lower()} it goes on until it ends. If it is "
            f"endless, pass `{name}=`.",
            stacklevel=4,
        )


def no_tasks(verb: str) -> ValueError:
    """The error for a stream in which there is no batch; `verb` as of `check_ends`."""
    return ValueError(
        f"{verb} a stream needs at least one batch. Received: an empty stream. Look for a `take`, "
        "a filter or `drop_remainder=True` that leaves nothing, or a stream that was read before."
    )


@contextlib.contextmanager
def refusing_no_batch(verb: str) -> Iterator[None]:
    """Says that a stream was empty, where `keras.Model.predict` meets a variable without value."""
    try:
        yield
    except UnboundLocalError as error:
        if "batch_outputs" not in str(error):
            raise
        raise no_tasks(verb) from None


def _is_empty(x):
    if isinstance(x, tf.data.Dataset):
        return x.cardinality().numpy() == 0
    return isinstance(x, keras.utils.PyDataset) and x.num_batches == 0


def is_endless(x: Any) -> bool:
    """Whether `x` is known to have no end: a `tf.data.Dataset`, or a `keras.utils.PyDataset`."""
    if isinstance(x, tf.data.Dataset):
        return x.cardinality().numpy() == tf.data.INFINITE_CARDINALITY
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches is None
    return False
