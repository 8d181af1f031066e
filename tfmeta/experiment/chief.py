"""What a run writes and measures beside its steps; done by the chief, or by a process alone."""

import contextlib
from collections.abc import Iterator

from tfmeta import evaluation
from tfmeta.experiment import building, finish, record
from tfmeta.experiment.files import disk_errors, locked, write_json
from tfmeta.experiment.metrics_log import MetricsLog
from tfmeta.experiment.signals import StopRequest
from tfmeta.experiment.training import Progressed, Training
from tfmeta.experiment.workdir import WorkDir
from tfmeta.settings import Settings


class Chief:
    """Writes a run's work directory.

    Args:
        settings: the recipe's.
        place: the run's work directory.
    """

    def __init__(self, settings: Settings, place: WorkDir):
        self.settings = settings
        self.place = place
        self._checkpoints = place.checkpoints(settings.log.keep)
        self._log: MetricsLog | None = None

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Holds the work directory, as that of this recipe, for as long as the run lasts.

        Raises:
            RecipeError: if it belongs to another recipe, or another process is at work in it.
        """
        with locked(self.place.path), disk_errors(self.place.path):
            self.place.claim(self.settings)
            yield

    def sees_folder(self) -> bool:
        """Whether the work directory is the chief's."""
        return True

    def begin(self, run_record: dict, training: Training) -> None:
        """Writes run.json, and opens metrics.csv at the step that `training` stands at."""
        write_json(self.place.path / record.NAME, run_record)
        self._log = MetricsLog(
            self.place.path, training.names, training.step, self.settings.log.tensorboard
        )

    def write_row(self, done: Progressed, tasks_per_second: float) -> None:
        self._log.write(done.step, done.values, tasks_per_second, done.seconds)

    def save(self, training: Training) -> None:
        """Writes a checkpoint of the step that `training` stands at."""
        self._log.sync()
        self._checkpoints.save(training.step, training.state)

    def validate(self, training: Training) -> None:
        """Looks at held-out tasks, and keeps the checkpoint where it is the best so far."""
        validate = self.settings.validate
        results = evaluation.evaluate_learner(
            training.learner,
            building.held_out_stream(self.settings, validate.split, validate.seed),
            validate.tasks,
            tasks_per_batch=self.settings.evaluate.tasks_per_batch,
        )
        metric, summary = next(iter(next(iter(results.values())).items()))
        value = summary["mean"][-1]
        if value is None:
            return
        self._log.event(training.step, {f"validation_{metric}": value})
        best = self._checkpoints.best()
        sign = 1 if metric in evaluation.HIGHER_IS_BETTER else -1
        if best is None or sign * value > sign * best["value"]:
            self.save(training)
            self._checkpoints.mark_best(training.step, metric, value)

    def finish(self, training: Training, stop: StopRequest) -> None:
        """Evaluates and exports what was trained."""
        with building.operation_errors():
            finish.finish(self.settings, self.place, training, stop)

    def close(self) -> None:
        if self._log:
            self._log.close()
