"""A worker that is not the chief: it takes every step with the others, and writes nothing."""

import contextlib
from collections.abc import Iterator

from tfmeta.experiment.signals import StopRequest
from tfmeta.experiment.training import Progressed, Training
from tfmeta.experiment.workdir import WorkDir
from tfmeta.settings import Settings


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

    def begin(self, run_record: dict, training: Training) -> None:
        pass

    def write_row(self, done: Progressed, tasks_per_second: float) -> None:
        pass

    def save(self, training: Training) -> None:
        """Leaves it to the chief: parameters and counters are the same on every worker."""

    def validate(self, training: Training) -> None:
        """Leaves it to the chief, and waits for it in the next step."""

    def finish(self, training: Training, stop: StopRequest) -> None:
        print("trained; the chief evaluates and exports")

    def close(self) -> None:
        pass
