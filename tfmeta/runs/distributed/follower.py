"""A worker that is not the chief: it takes every step with the others, and writes nothing."""

import contextlib
import time
from collections.abc import Iterator

from tfmeta.runs.recipe.settings import Settings
from tfmeta.runs.signals import StopRequest
from tfmeta.runs.training import Progressed, Training
from tfmeta.runs.workdir import WorkDir

_SECONDS_TO_SEE = 60.0  # what a network file system may take to show a new file elsewhere
_PAUSE = 0.1


class Follower:
    """Has the methods of `Chief`; reads the work directory, which it shares with the chief.

    Args:
        settings: the recipe's.
        place: the run's work directory.
    """

    def __init__(self, settings: Settings, place: WorkDir):
        self.settings = settings
        self.place = place

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Checks that the work directory is this recipe's, as the chief does at the same time.

        Raises:
            RecipeError: if it belongs to another recipe.
        """
        self.place.check(self.settings)
        yield

    def sees_folder(self) -> bool:
        """Whether the work directory is the chief's, who has claimed it before it meets others."""
        deadline = time.monotonic() + _SECONDS_TO_SEE
        while not self.place.config.exists() and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        return self.place.config.exists()

    def begin(self, run_record: dict, training: Training) -> None:
        pass

    def write_record(self, run_record: dict) -> None:
        pass

    def write_row(self, done: Progressed, tasks_per_second: float, validation=None) -> None:
        pass

    def save(self, training: Training) -> None:
        """Leaves it to the chief: parameters and counters are the same on every worker."""

    def validate(self, training: Training) -> None:
        """Leaves it to the chief, and waits for it in the next step."""

    def keep_best(self, training: Training, validation: None) -> None:
        """Leaves it to the chief."""

    def validate_again(self, training: Training) -> None:
        """Leaves it to the chief, and waits for it in the next step."""

    def finish(self, training: Training, stop: StopRequest) -> None:
        """Leaves it to the chief."""

    def close(self) -> None:
        pass
