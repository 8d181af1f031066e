"""The values that travel between modules: a set of examples, and a task of two such sets."""

from typing import Any, NamedTuple


class Examples(NamedTuple):
    """A set of labelled examples of one task, or of T tasks with one leading axis more.

    Attributes:
        inputs: tensor [N, ...], or a dict of such tensors.
        targets: tensor [N, ...]; None where nothing is asked of them.
        weights: tensor [N], the weight of each example in its set's mean loss, or None (all 1).
            Examples of weight 0 are left out of batch statistics too.
    """

    inputs: Any
    targets: Any = None
    weights: Any = None


class Task(NamedTuple):
    """A support set, from which a network adapts, and a query set, on which it is judged."""

    support: Examples
    query: Examples


def unpack_tasks(x, y=None, sample_weight=None) -> Task:
    """Turns what a stream yields into a `Task`.

    Args:
        x: `(support_x, support_y, query_x)` or `(support_x, support_y, query_x, support_weights)`.
        y: query targets [T, Q, ...], or None.
        sample_weight: query weights [T, Q] or [T, Q, ...], task weights [T] or [T, 1], or None.

    Raises:
        ValueError: if `x` has another number of parts.
    """
    wrong = isinstance(x, (Task, Examples))  # tuples too
    if wrong or not isinstance(x, (tuple, list)) or len(x) not in (3, 4):
        listed = not wrong and isinstance(x, (tuple, list))
        received = f"{len(x)} parts" if listed else type(x).__name__
        raise ValueError(
            "A batch of tasks is (support_x, support_y, query_x) or "
            "(support_x, support_y, query_x, support_weights). "
            f"Received: {received}. Build it with a tfmeta.tasks stream and `.batch(tasks)`."
        )
    support_x, support_y, query_x, *weights = x
    return Task(
        Examples(support_x, support_y, weights[0] if weights else None),
        Examples(query_x, y, sample_weight),
    )
