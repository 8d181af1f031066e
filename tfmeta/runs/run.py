"""A training run: a recipe in, a work directory out, the same whatever interrupted it."""

import logging
from collections.abc import Sequence

import tensorflow as tf

from tfmeta.runs import building, record
from tfmeta.runs.callbacks import RunCallbacks
from tfmeta.runs.chief import Chief
from tfmeta.runs.choices import choose
from tfmeta.runs.distributed.agreement import Agreement
from tfmeta.runs.distributed.cluster import Cluster, cluster_of
from tfmeta.runs.distributed.follower import Follower
from tfmeta.runs.distributed.workers import ALONE, check_agreement, gathering, loss_of_workers
from tfmeta.runs.metrics_log import VALIDATION
from tfmeta.runs.progress import Progress
from tfmeta.runs.recipe import Recipe, RecipeError, RunError, config
from tfmeta.runs.recipe.settings import Settings
from tfmeta.runs.signals import Stopped, StopRequest, stop_on_signals
from tfmeta.runs.training import Training
from tfmeta.runs.workdir import CONFIG, WorkDir

_SECONDS_PER_CALL = 1.0  # how long a signal may wait for the steps under way
_RECORDED = ("versions", "machine", "threads", "onednn", "deterministic", "replicas")
_MUST_AGREE = {
    "recipe": "Give all of them the same --gin_file and --gin_param.",
    "folder": f"--workdir must be one that all share: the chief has written {CONFIG} in it.",
    "checkpoint": "--workdir must be one that all share.",
    "replicas": "Give every worker the same number of devices.",
    "deterministic": "Set run.deterministic.",
    "data": "Give all of them the same data, under TFMETA_DATA_DIR or in a shared folder.",
}


class NotFinite(RunError):
    """The loss or the meta-gradient was not finite."""


def train(recipe: Recipe, workdir, *, continue_anyway: bool = False) -> int:
    """Trains, evaluates and exports; a run that was interrupted goes on where it was saved.

    With `run.strategy = 'multi_worker'` every process of TF_CONFIG's cluster calls it, with the
    same recipe and a work directory that all share; the chief alone writes it.

    Args:
        recipe: of `tfmeta.runs.recipe.read_recipe`.
        workdir: the work directory, new or of the same recipe.
        continue_anyway: go on although versions, threads or devices are not the run's any more.

    Returns:
        The exit code: 0, or 130 after Ctrl-C.

    Raises:
        RecipeError: for everything that the user can put right.
    """
    place = WorkDir(workdir)
    with config.configured(recipe) as settings:
        cluster = cluster_of(settings.run.strategy)
        role = (Chief if cluster.is_chief else Follower)(settings, place)
        with role.holding(), loss_of_workers(cluster, place), stop_on_signals() as stop:
            folders = recipe.folders if recipe.imports else ()
            run, stopped = _Run(settings, cluster, role, stop, continue_anyway, folders), False
            try:
                run.loop()
                run.progress.close()
                if cluster.others:
                    run.progress.say(f"trained on {len(cluster.addresses)} workers. {ALONE}")
                role.finish(run.training, stop)
            except Stopped:
                stopped = True
            finally:
                run.close()
            if stopped:
                done = run.training.step == run.last_step
                run.progress.say(
                    f"Stopped by {stop.signal.name} at step {run.training.step} of "
                    f"{settings.train.steps}, saved in {place.path}. The same command goes on"
                    f"{' with the evaluation' if done else ''}."
                )
            return stop.exit_code if stopped else 0


class _Run:
    """The loop of a run, the same on every worker; `role` writes what the chief writes."""

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        role: Chief | Follower,
        stop: StopRequest,
        continue_anyway: bool,
        recipe_folders: Sequence[str] = (),
    ):
        self.settings, self.cluster, self.role, self.stop = settings, cluster, role, stop
        self.place = place = role.place
        step = place.resume_step()
        self.progress = Progress(settings.train.steps, step)
        self.progress.say(f"{settings.recipe}: building (work directory {place.path})")
        stop.now("building", "the run ends after its first step")
        building.set_threads(settings.run.intra_op_threads)
        deterministic = building.set_determinism(settings.run.deterministic)
        with gathering(cluster, self.progress.say):
            self.strategy = building.make_strategy(settings.run.strategy)
            self.agreement = Agreement(self.strategy, max(len(cluster.addresses), 1))
            facts = self.agreement.everyones_facts(self._facts(step, deterministic))
        stop.listen()
        check_agreement(cluster, facts, _MUST_AGREE)
        with _warnings() as warnings:
            self.training = self._build(facts, step, continue_anyway)
        self._record["warnings"] = warnings
        if step:
            place.checkpoints().restore(step, self.training.state)
            self.progress.say(f"goes on from step {step}")
        self._record["sessions"].append(record.session(step))
        if recipe_folders:
            self._record["recipe_folders"] = list(recipe_folders)
        self.callbacks = RunCallbacks(
            settings.run.callbacks if step < self.last_step else (),
            self.training.learner,
            *(settings.train.steps, settings.log.checkpoint_every, step),
        )
        role.begin(self._record, self.training)
        stream = building.train_stream
        self.training.start(lambda first: stream(settings, first))
        settings.streams.clear()  # a resumed run would hold its training examples twice
        self._row_began = (step, self.training.seconds)

    @property
    def last_step(self) -> int:
        """The step that training ends at; earlier than asked for where a callback ended it."""
        return self._record.get("stopped_at", self.settings.train.steps)

    def loop(self) -> None:
        """Runs the steps that are left.

        Raises:
            NotFinite: where the loss or meta-gradient is not finite.
            Stopped: after a signal, when all is saved.
        """
        training, log = self.training, self.settings.log
        steps, chunk = self.last_step, 1
        if training.step < steps:
            self.progress.say("compiling: the first step takes longer than the next ones")
            self.stop.now("compiling", "the run ends after its first step, and saves it")
        if training.step and self._validation_due():
            self.role.validate_again(training)
        while training.step < steps:
            until = min(
                steps, *(training.step // n * n + n for n in self._intervals(log.checkpoint_every))
            )
            before, began = training.step, training.seconds
            self.callbacks.before(before, first=before == training.began)
            with building.operation_errors():
                done = training.advance(min(chunk, until - before))
            if done.bad_step is not None:
                raise self._not_finite(done.bad_step)
            # The first call compiles; what it took says nothing of the next ones.
            per_second = (done.step - before) / (done.seconds - began)
            chunk = 2 if chunk == 1 else max(2, int(_SECONDS_PER_CALL * per_second))
            chunk = self._agree(chunk)
            if before == training.began:
                self.stop.now("training", "the run ends after the steps under way, and saves them")
                self.progress.start(done.step)  # What compiling took says nothing of the rest.
            self.progress.update(done.step, done.values, self._tasks_per_second(done))
            self.callbacks.after(done.step, done.values)
            due, epoch = self._validation_due(), self.callbacks.ends_epoch(done.step)
            # The row comes before the checkpoint: on resumption rows up to it are kept.
            validation = self.role.validate(training) if due else None
            if self._due(log.every) or due or epoch or done.step == steps:
                row = self._write_row(done, validation)
            # Before the checkpoint, which then has what callbacks change.
            if epoch and self._ends(done.step, row):
                steps = done.step
            last = done.step == steps
            changed = last and self.callbacks.end()
            if self._due(log.checkpoint_every) or last or self.stop.agreed:
                self.role.save(training)
            if due and not changed:
                self.role.keep_best(training, validation)
            elif last and self.settings.validate.every:
                self.role.validate_again(training)  # ended, or changed at the end, by a callback
            if self.stop.agreed:
                raise Stopped

    def _ends(self, step: int, row: dict) -> bool:
        """Calls the callbacks at the end of an epoch; whether one of them ends the training."""
        self.callbacks.end_epoch(step, row)
        if not self.callbacks.stop or step == self.settings.train.steps:
            return False
        self.progress.say(f"ended by a callback (stop_training) at step {step}")
        # Before the checkpoint: without that step's checkpoint the entry has no effect.
        self._record["stopped_at"] = step
        self.role.write_record(self._record)
        return True

    def close(self) -> None:
        self.role.close()
        self.progress.close()

    def _agree(self, chunk: int) -> int:
        """The steps of the next call, the same on every worker; a signal to one stops all."""
        everyones = self.agreement.everyones([self.stop.signal or 0, chunk])
        self.stop.agree(everyones[:, 0].max())
        return int(everyones[:, 1].min())

    def _facts(self, step: int, deterministic: bool) -> dict:
        """What this worker tells the others of itself."""
        return {
            **record.environment(tf),
            "deterministic": deterministic,
            "replicas": self.strategy.num_replicas_in_sync,
            "recipe": self.settings.config,
            "folder": self.role.sees_folder(),
            "checkpoint": step,
            "data": building.train_stream(self.settings).info,
        }

    def _build(self, facts: list[dict], step: int, continue_anyway: bool) -> Training:
        settings, old = self.settings, record.read(self.place.path)
        own = facts[self.cluster.index]
        new = {
            "schema_version": 1,
            "recipe": settings.recipe,
            "seed": settings.train.seed,
            **{name: facts[0][name] for name in _RECORDED},
            "workers": [{name: each[name] for name in _RECORDED} for each in facts[1:]],
            "git_commit": record.git_commit(),
            "sessions": old["sessions"] if old else [],
        }
        if old and step:
            if step < min(settings.train.steps, old.get("stopped_at", settings.train.steps)):
                self._check_same(old, new, continue_anyway)
            kept = new["choices"] = old["choices"]
            if old.get("stopped_at") == step:
                new["stopped_at"] = step
            training = building.build_training(
                settings, self.strategy, kept["jit_compile"], kept["parallel"]
            )
        else:
            training, new["choices"] = self._choose()
        new["data"] = own["data"]
        self._record = new
        return training

    def _choose(self) -> tuple[Training, dict]:
        """How the run computes, from now on."""
        with building.operation_errors():
            training, execution, reason = choose(self.settings, self.strategy, self.progress.say)
        self.progress.say(f"computes tasks {execution} ({reason})")
        per_pass = training.learner.tasks_per_pass
        return training, {**execution._asdict(), "tasks_per_pass": per_pass, "reason": reason}

    def _check_same(self, old: dict, new: dict, continue_anyway: bool) -> None:
        changed = record.changes(old, new)
        if not changed:
            return
        words = "\n  ".join(changed)
        if not continue_anyway and new["deterministic"]:
            raise RecipeError(
                "A run goes on with the same bits only where it is computed as before. Received: "
                f"{self.place.path}, begun differently:\n  {words}\nMake it as before, or pass "
                "--continue_anyway: the run then goes on, and its end is not bit for bit that of "
                "an uninterrupted one."
            )
        self.progress.say(f"goes on, though not bit for bit, since this changed:\n  {words}")

    def _intervals(self, *more: int) -> list[int]:
        return [n for n in (self.settings.log.every, self.settings.validate.every, *more) if n]

    def _due(self, every: int) -> bool:
        return bool(every) and self.training.step % every == 0

    def _tasks_per_second(self, done) -> float:
        step, seconds = self._row_began
        tasks = (done.step - step) * self.settings.train.tasks_per_step
        return tasks / max(done.seconds - seconds, 1e-9)

    def _write_row(self, done, validation) -> dict:
        """Writes a row of metrics.csv, and gives it by columns."""
        per_second = self._tasks_per_second(done)
        self.role.write_row(done, per_second, validation)
        self._row_began = (done.step, done.seconds)
        self.training.reset()
        validated = validation.values if validation else {}
        return {
            **{"step": done.step, **done.values},
            **{"tasks_per_second": per_second, "seconds": done.seconds},
            **{f"{VALIDATION}{name}": value for name, value in validated.items()},
        }

    def _validation_due(self) -> bool:
        # At the end too: a run made shorter than `every` has a best checkpoint all the same.
        every = self.settings.validate.every
        return self._due(every) or bool(every and self.training.step == self.last_step)

    def _not_finite(self, step: int) -> NotFinite:
        saved = self.place.resume_step()
        last = f"checkpoint of step {saved}" if saved else "no checkpoint yet"
        return NotFinite(
            f"The loss and the meta-gradient must be finite. Received: a value that is not, at "
            f"step {step} (last good: {last}, in {self.place.path}). Lower the inner rate or the "
            "outer rate, clip by meta_gradient_clip, or take fewer inner steps, in a new "
            "--workdir; metrics.csv shows how the loss went."
        )


class _warnings(logging.Handler):
    """Collects what tfmeta warns of, for the record."""

    def __enter__(self) -> list[str]:
        self.messages: list[str] = []
        logging.getLogger("tfmeta").addHandler(self)
        return self.messages

    def __exit__(self, *_):
        logging.getLogger("tfmeta").removeHandler(self)

    def emit(self, log_record):
        self.messages.append(log_record.getMessage())
