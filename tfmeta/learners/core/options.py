"""Options that every learner takes."""

from collections.abc import Sequence
from typing import Any, TypedDict


class LearnerOptions(TypedDict, total=False):
    """Keyword arguments of every learner; `MetaLearner` says what each means."""

    test_inner_steps: int | None
    adapted: str | Sequence[str] | None
    normalization: str
    inner_loss: Any
    dropout: bool
    seed: int
    parallel: str
    tasks_per_pass: int | None
    rematerialize: bool
    meta_gradient_clip: float | None
    diverged_tasks: str
    name: str | None
