"""What a run writes and measures beside its steps; done by the chief, or by a process alone."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from tfmeta import evaluation
from tfmeta.runs import building, finish, record
from tfmeta.runs.files import disk_errors, locked, write_json
from tfmeta.runs.metrics_log import MetricsLog
from tfmeta.runs.recipe import bound_values, parse_recipe
from tfmeta.runs.recipe.settings import Settings
from tfmeta.runs.signals import StopRequest
from tfmeta.runs.training import Progressed, Training
from tfmeta.runs.workdir import WorkDir


class Validation(NamedTuple):
    """Means over validation tasks after the last inner step; None is a mean that is not finite.

    Attributes:
        metric: name of the metric that chooses the best checkpoint.
        value: mean of `metric`.
        values: all means by name, the loss first, also where it is a squared error.
    """

    metric: str
    value: float | None
    values: dict[str, float | None]


class Chief:
    """Writes a run's work directory.

    Args:
        settings: the recipe's.
        place: the run's work directory.
    """

    def __init__(self, settings: Settings, place: WorkDir):
        self.settings = settings
        self.place = place
        self._checkpoints = place.checkpoints(settings.log.keep, settings.log.keep_best)
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
        self.write_record(run_record)
        self._log = MetricsLog(
            self.place.path, training.names, training.step, self.settings.log.tensorboard
        )
        if not training.step:
            settings = self.settings
            self._log.hyperparameters(
                bound_values(parse_recipe(settings.config, settings.recipe)), settings.config
            )

    def write_record(self, run_record: dict) -> None:
        """Writes run.json."""
        write_json(self.place.path / record.NAME, run_record)

    def write_row(
        self, done: Progressed, tasks_per_second: float, validation: Validation | None = None
    ) -> None:
        """Adds a row to metrics.csv."""
        values = validation.values if validation else None
        self._log.write(done.step, done.values, tasks_per_second, done.seconds, values)

    def save(self, training: Training) -> None:
        """Writes a checkpoint of the step that `training` stands at."""
        self._log.sync()
        self._checkpoints.save(training.step, training.state)

    def validate(self, training: Training) -> Validation:
        """Measures the learner on held-out tasks."""
        validate = self.settings.validate
        results = evaluation.evaluate_learner(
            training.learner,
            building.held_out_stream(self.settings, validate.split, validate.seed),
            validate.tasks,
            tasks_per_batch=self.settings.evaluate.tasks_per_batch,
        )
        means = {name: found["mean"][-1] for name, found in next(iter(results.values())).items()}
        finite = {name: value for name, value in means.items() if value is not None}
        self._log.event(training.step, {f"validation_{n}": value for n, value in finite.items()})
        metric = next(iter(means))
        if "loss" not in means and metric == "mean_squared_error":
            return Validation(metric, means[metric], {"loss": means[metric]})
        in_order = dict(sorted(means.items(), key=lambda item: item[0] != "loss"))
        return Validation(metric, means[metric], in_order)

    def keep_best(self, training: Training, validation: Validation) -> None:
        """Keeps the checkpoint where it is among the best so far."""
        metric, value, _ = validation
        if value is not None and self._checkpoints.is_among_best(training.step, metric, value):
            self.save(training)
            self._checkpoints.mark_best(training.step, metric, value)

    def validate_again(self, training: Training) -> None:
        """Validates the checkpoint that the run goes on from, as if it had not ended there."""
        validation = self.validate(training)
        self._log.amend(training.step, validation.values)
        self.keep_best(training, validation)

    def finish(self, training: Training, stop: StopRequest) -> None:
        """Evaluates and exports what was trained."""
        with building.operation_errors():
            finish.finish(self.settings, self.place, training, stop)

    def close(self) -> None:
        if self._log:
            self._log.close()
