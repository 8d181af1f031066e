"""A line of a comparison, be it printed in a paper or reached by a run."""

import dataclasses

# What two rows can differ in, with the words for it.
PROTOCOL = {
    "normalization": "statistics",
    "test_tasks": "test tasks",
    "queries": "queries a class",
    "inner_steps": "inner steps",
    "filters": "filters",
    "steps": "meta-steps",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One result with the protocol that it holds for; what is not known is None.

    Attributes:
        data: name of the data set.
        ways: classes a task; None for regression.
        shots: support examples a class.
        method: name of the algorithm.
        metric: "accuracy" (then `value` is in %), or the name of an error.
        value: mean over test tasks.
        source: paper, or folder of the run.
        published: whether it is a paper's.
        check: whether the figure is from memory or a second source, to be verified.
        interval95: half the 95 % interval.
        normalization: which statistics normalise the queries; "none" where the network
            normalises by no statistics of a batch.
        test_tasks: number of test tasks.
        queries: query examples a class.
        inner_steps: steps of adaptation at test.
        filters: of each convolution.
        steps: meta-steps of training.
        remarks: what else is to be known, as texts.
        curve: mean and half the interval after 0, 1, ... inner steps, as `value` is given.
        seed: of a run's training.
        seeds: how many runs `value` is the mean of, which differ in their seed alone.
        spread: standard deviation of the runs' values; None for a single run.
    """

    data: str
    ways: int | None
    shots: int
    method: str
    metric: str
    value: float | None
    source: str
    published: bool
    check: bool = False
    interval95: float | None = None
    normalization: str | None = None
    test_tasks: int | None = None
    queries: int | None = None
    inner_steps: int | None = None
    filters: int | None = None
    steps: int | None = None
    remarks: tuple[str, ...] = ()
    curve: tuple[tuple[float | None, float | None], ...] = ()
    seed: int | None = None
    seeds: int = 1
    spread: float | None = None

    @property
    def task(self) -> tuple:
        """What rows must share to stand in one table."""
        return (self.data, self.ways or 0, self.shots, self.metric)


def result_text(row: Row) -> str:
    """Such as "98.63 +- 0.45"; of several seeds such as "98.50 (s = 0.21)"."""
    digits = 2 if row.metric == "accuracy" else 3
    if row.value is None:
        return "not finite"
    interval = "" if row.interval95 is None else f" +- {row.interval95:.{digits}f}"
    spread = "" if row.spread is None else f" (s = {row.spread:.{digits}f})"
    return f"{row.value:.{digits}f}{interval}{spread}{' (check)' if row.check else ''}"
