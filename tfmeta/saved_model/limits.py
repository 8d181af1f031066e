"""What an exported model accepts of one request."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Limits:
    """Upper limits that guards in the graph enforce, so that no request takes a server's memory.

    Attributes:
        max_support: support examples of a task.
        max_query: query examples of a task.
        max_tasks: tasks of an `adapt_and_predict_tasks` request.
        max_inner_steps: inner steps that `adapt_and_predict_with` may be asked for.
    """

    max_support: int = 1000
    max_query: int = 1000
    max_tasks: int = 1000
    max_inner_steps: int = 1000

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            whole = not isinstance(value, bool) and math.isfinite(value) and int(value) == value
            if not whole or value < (0 if name == "max_inner_steps" else 1):
                raise ValueError(
                    f"{name} must be a whole number, at least "
                    f"{0 if name == 'max_inner_steps' else 1}. Received: {name}={value!r}. "
                    "Leave it out for the default."
                )
