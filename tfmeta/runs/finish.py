"""The end of a run: evaluation, pictures, the SavedModel loaded back, and what to do next."""

from pathlib import Path

import tensorflow as tf

from tfmeta.runs import building, pictures, results
from tfmeta.runs.checkpoints import state_of
from tfmeta.runs.evaluating import evaluate
from tfmeta.runs.exporting import check_export, export
from tfmeta.runs.metrics_log import NAME as METRICS
from tfmeta.runs.metrics_log import read_rows
from tfmeta.runs.recipe.settings import Settings
from tfmeta.runs.signals import StopRequest, leave_if
from tfmeta.runs.workdir import WorkDir
from tfmeta.saved_model import versions


def finish(settings: Settings, place: WorkDir, training, stop: StopRequest) -> None:
    """Evaluates a trained run, draws its pictures, exports it, and says where everything is.

    A run that is exported already, and that this session did not train, is not exported again.

    Raises:
        Stopped: after a signal; the same command does this part again.
    """
    chosen = place.chosen_step(settings.evaluate.checkpoint)
    learner = _restored(settings, place, training, chosen)
    print(f"trained: {training.seconds:.0f} s for {training.step} steps")
    print(f"evaluating {settings.evaluate.tasks} held-out tasks", flush=True)
    stop.now("evaluating", "it ends after the tasks under way")
    evaluate(settings, place, learner, chosen, stop)
    draw_learning_curve(settings, place)
    folder = place.path / "export"
    if settings.export.enabled and (training.began < training.step or not versions(folder)):
        leave_if(stop)
        print(f"exporting to {folder}", flush=True)
        stop.now("exporting", "it ends when the export is written")
        found = results.outliers_of(place.path, chosen)
        print(check_export(settings, learner, export(settings, learner, folder, outliers=found)))
    print(_what_next(place, settings))


def _restored(settings: Settings, place: WorkDir, training, step: int):
    """The learner as a checkpoint has it, on one device of this process."""
    learner, strategy = training.learner, tf.distribute.get_strategy()
    if training.strategy is not strategy:
        learner = building.build_learner(settings, strategy, training.jit_compile)
    # The counters stay at the run's last step; the rest comes from the chosen one.
    place.checkpoints().restore(step, state_of(learner), counters=False)
    return learner


def draw_learning_curve(settings: Settings, place: WorkDir) -> None:
    """Writes learning_curve.png from metrics.csv."""
    rows = read_rows(place.path / METRICS)
    if rows:
        pictures.learning_curve(rows, place.path / "learning_curve.png", settings.recipe)


_FILES = {
    "config.gin": "the recipe",
    "run.json": "seed, versions, machine, choices",
    METRICS: "loss and metrics by step",
    "learning_curve.png": "the same, drawn",
    "events": "for TensorBoard: tensorboard --logdir={workdir}",
    "checkpoints": "the last ones and the best",
    "evaluation.json": "the result, with its protocol",
    "evaluation.png": "the result by inner step",
    "calibration.png": "how right predictions are for how sure they are",
    "evaluation_*shot.json": "the same with other support sizes",
    "evaluation_*shot.png": "drawn by inner step",
    "evaluation-*.json": "results by other protocols",
    "adaptation.png": "truth, support points, before and after adaptation",
    "paths.png": "paths before and after an update",
    "export/[0-9]*": "SavedModel for TensorFlow Serving",
}


def _what_next(place: WorkDir, settings: Settings) -> str:
    workdir = place.path
    lines = [f"\nEverything is in {workdir}:"]
    for pattern, meaning in _FILES.items():
        for path in sorted(workdir.glob(pattern)):
            name = str(path.relative_to(workdir))
            lines.append(f"  {name:<26} {meaning.format(workdir=workdir)}")
    lines += [
        "Next:",
        f"  python -m tfmeta.evaluate --workdir={workdir} --gin_param='evaluate.tasks = 2000'",
        f"  python -m tfmeta.export --workdir={workdir} --export_dir=exported/{settings.recipe}",
        *_adapting(workdir, settings),
        f"  in Python: learner = tfmeta.restore({str(workdir)!r})",
    ]
    return "\n".join(lines)


def _adapting(workdir: Path, settings: Settings) -> list[str]:
    """The command that adapts an exported classifier of images to a person's own."""
    info = building.held_out_stream(settings, settings.evaluate.split, settings.evaluate.seed).info
    if "image_shape" not in info or not settings.export.enabled:
        return []
    return [
        f"  python -m tfmeta.adapt --export_dir={workdir / 'export'} "
        "--support=FOLDER_OF_CLASSES --query=FOLDER"
    ]
