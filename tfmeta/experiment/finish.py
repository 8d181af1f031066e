"""The end of a run: evaluation, pictures, the SavedModel loaded back, and what to do next."""

from pathlib import Path

import tensorflow as tf

from tfmeta import evaluation
from tfmeta.evaluation import calibration, outliers
from tfmeta.experiment import building, pictures, policies, results, sinusoids
from tfmeta.experiment.checkpoints import state_of
from tfmeta.experiment.ensemble import Ensemble
from tfmeta.experiment.metrics_log import NAME as METRICS
from tfmeta.experiment.metrics_log import read_rows
from tfmeta.experiment.signals import Stopped, StopRequest
from tfmeta.experiment.workdir import WorkDir
from tfmeta.export import versions
from tfmeta.learners.contracts import SamplesAnswers
from tfmeta.recipe import RecipeError
from tfmeta.settings import Settings
from tfmeta.tasks.episodes import SCALE
from tfmeta.tasks.image_folder import RESIZE_FILTER
from tfmeta.tasks.task import Examples, unpack_tasks


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
        _leave_if(stop)
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


def evaluate(
    settings: Settings, place: WorkDir, learner, step: int, stop=None, recorded=None
) -> list[Path]:
    """Measures a learner, writes a report and its picture for each support size, prints tables.

    The recipe's protocol goes into evaluation.json, and into evaluation_<shots>shot.json for
    further support sizes. Every other protocol gets a file that its differences name.

    Args:
        settings: what is asked for.
        place: the run's work directory.
        learner: compiled, with the weights of `step`.
        step: of the checkpoint.
        stop: of the run, or None.
        recorded: a context manager without arguments that puts the run's own recipe in force and
            gives its settings; None where `settings` are the recipe's.

    Returns:
        Paths of the reports, in the order of the support sizes.
    """
    sizes = settings.evaluate.shots or (None,)
    protocols = [_protocol(settings, place, learner, step, shots)[1] for shots in sizes]
    own, same_shots = _own_protocols(settings, place, learner, sizes, protocols, recorded)
    paths = []
    for shots, reference in zip(sizes, same_shots, strict=True):
        report = _report(settings, place, learner, step, shots, stop)
        name = results.file_of(results.protocol_of(report), own, reference)
        paths.append(results.write_report(place.path, name, report))
        pictures.inner_steps_curve(report, paths[-1].with_suffix(".png"))
        print(_headline(report), evaluation.table(report), sep="\n")
        if "calibration" in report and report["calibration"]["calibration_error"] is not None:
            picture = place.path / results.picture_name(name, "calibration")
            pictures.calibration(report, picture)
            print(_calibration_line(report["calibration"]))
        if report.get("outliers"):
            print(_outliers_line(report["outliers"]))
        if len(paths) == 1 and report["protocol"].get("name") in _DRAWN:
            draw, kind = _DRAWN[report["protocol"]["name"]]
            draw(settings, place.path / results.picture_name(name, kind), learner)
    return paths


def _own_protocols(settings, place, learner, sizes, protocols, recorded):
    """The recipe's files with their protocols, and its protocol at each of the asked sizes."""
    if recorded is None:
        return results.own_files(protocols), protocols
    with recorded() as recipe:
        step = _chosen_step(place, recipe)

        def protocol(shots):
            return _protocol(recipe, place, learner, step, shots)[1]

        own = results.own_files([protocol(shots) for shots in recipe.evaluate.shots or (None,)])
        return own, [protocol(shots) for shots in sizes]


def _chosen_step(place: WorkDir, settings: Settings) -> int | None:
    """The step that a recipe's evaluation looks at; None where it has no checkpoint yet."""
    try:
        return place.chosen_step(settings.evaluate.checkpoint)
    except RecipeError:
        return None


def _protocol(settings, place, learner, step, shots):
    """The stream of an evaluation, and everything that its numbers may depend on."""
    options = settings.evaluate
    stream = building.held_out_stream(settings, options.split, options.seed, shots)
    report = {
        "protocol": evaluation.protocol(learner, stream, **_asked(settings, place, learner, step)),
        "results": options.normalizations,
    }
    if _calibrates(options, learner):
        report["calibration"] = None
    if options.outliers:
        report["outliers"] = None
    return stream, results.protocol_of(report)


def _asked(settings, place, learner, step) -> dict:
    """What a recipe asks of an evaluation, as evaluation.json says it."""
    options = settings.evaluate
    steps = learner.test_inner_steps if options.inner_steps is None else options.inner_steps
    asked = {
        "recipe": settings.recipe,
        "split": options.split,
        "tasks": options.tasks,
        "inner_steps": steps,
        "seed": options.seed,
        "train_seed": settings.train.seed,
        "checkpoint": options.checkpoint,
        "step": step,
    }
    if options.ensemble > 1:
        ranked = place.checkpoints().ranking()[: options.ensemble]
        asked["ensemble"] = [each["step"] for each in ranked]
    return asked


def _report(settings, place, learner, step, shots, stop) -> dict:
    """The result with support sets of a size, and its protocol."""
    options, answering = settings.evaluate, learner
    if options.ensemble > 1:
        answering = Ensemble(learner, place.checkpoints(), options.ensemble)
    stream, _ = _protocol(settings, place, learner, step, shots)
    asked = _asked(settings, place, learner, step)
    how = {
        "inner_steps": asked["inner_steps"],
        "tasks_per_batch": options.tasks_per_batch,
        "report": lambda done: _leave_if(stop),
    }
    found = evaluation.evaluate_learner(
        answering, stream, options.tasks, normalizations=options.normalizations, **how
    )
    report = evaluation.report_of(learner, stream, found, **asked)
    if _calibrates(options, learner):
        report["calibration"] = calibration.calibrate(learner, stream, options.tasks, **how)
    if options.outliers:
        validation, test = _with_strangers(settings, shots)
        found = outliers.measure_outliers(learner, validation, test, options.tasks, **how)
        report["outliers"] = found
    return report


def _with_strangers(settings, shots) -> list:
    """Validation and test tasks with as many further classes, whose queries are strangers."""
    options = settings.evaluate
    info = building.held_out_stream(settings, options.split, options.seed, shots).info
    if not isinstance(info.get("ways"), int):
        raise RecipeError(
            "Outlier scores are for classifiers. Received: evaluate.outliers = True with tasks "
            f"of {info.get('name')!r}, which have no ways. Leave it out."
        )
    ways = 2 * info["ways"]
    return [
        building.held_out_stream(settings, split, seed, shots, ways=ways)
        for split, seed in (
            ("validation", settings.validate.seed),
            (options.split, options.seed),
        )
    ]


def _outliers_line(found: dict) -> str:
    alarms, recall, area = (found["test"][name] for name in ("false_alarms", "recall", "auroc"))
    return (
        f"none of these: score {found['score']}, threshold {found['threshold']:.4g}: "
        f"{_percent(recall)} of strangers found, {_percent(alarms)} false alarms, area under the "
        f"ROC curve {_percent(area)}"
    )


def _percent(summary: dict) -> str:
    if summary["mean"] is None:
        return "not finite"
    spread = summary["interval95"]
    return f"{100 * summary['mean']:.1f}" + (f" +- {100 * spread:.1f}" if spread else "") + " %"


def _calibrates(options, learner) -> bool:
    asked = options.calibration
    return isinstance(learner, SamplesAnswers) if asked is None else asked


def _calibration_line(found: dict) -> str:
    likelihood = found["negative_log_likelihood"]
    spread = "" if likelihood["interval95"] is None else f" +- {likelihood['interval95']:.3f}"
    return (
        f"negative log-likelihood a query {likelihood['mean']:.3f}{spread} nats, calibration error "
        f"{100 * found['calibration_error']:.2f} %, diverged: {found['diverged']}"
    )


def _leave_if(stop: StopRequest | None) -> None:
    if stop:
        raise Stopped


def _headline(report: dict) -> str:
    protocol = report["protocol"]
    parts = [f"{protocol['ways']}-way"] if "ways" in protocol else []
    parts += [f"{protocol['shots']}-shot", f"{protocol.get('queries')} queries"]
    return (
        f"\n{protocol.get('name', 'tasks')} {', '.join(parts)}, {protocol['split']} split, "
        f"{protocol['checkpoint']} checkpoint (step {protocol['step']}), seed {protocol['seed']}"
    )


def draw_learning_curve(settings: Settings, place: WorkDir) -> None:
    """Writes learning_curve.png from metrics.csv."""
    rows = read_rows(place.path / METRICS)
    if rows:
        pictures.learning_curve(rows, place.path / "learning_curve.png", settings.recipe)


# What is drawn of adaptation, by the name of the tasks, and the name of the picture.
_DRAWN = {
    "sinusoid": (sinusoids.draw_adaptation, "adaptation"),
    "navigation": (policies.draw_paths, "paths"),
}


def export(settings: Settings, learner, folder, normalization=None, outliers=None) -> Path:
    """Writes a new version of the SavedModel; returns its directory.

    Args:
        settings: the recipe's.
        learner: with the weights to export.
        folder: directory of the versions.
        normalization: another mode than the recipe's, or None.
        outliers: what the evaluation found of outlier scores, or None.
    """
    options = export_options(settings)
    options["normalization"] = normalization or options["normalization"]
    if outliers is not None:
        options["outliers"] = outliers
    return Path(learner.export(str(folder), **options))


def export_options(settings: Settings) -> dict:
    """What a recipe asks of its learner's `export`, as values that JSON has."""
    limits = {
        name: getattr(settings.export, name)
        for name in ("max_ways", "max_support", "max_query", "max_tasks", "max_inner_steps")
        if getattr(settings.export, name) is not None
    }
    info = building.held_out_stream(
        settings, settings.evaluate.split, settings.evaluate.seed, building.first_shots(settings)
    ).info
    return {
        "normalization": settings.export.normalization,
        "preprocessing": preprocessing_of(info),
        "warmup_sizes": [list(usual_size(info))],
        "metadata": {"recipe": settings.recipe, "tasks": info},
        **limits,
    }


def preprocessing_of(info: dict) -> dict:
    """How a client's data become the network's inputs (`Servable.preprocessing`)."""
    if "image_shape" not in info:
        # How rows of a table become the network's inputs (`tasks.encode_rows`).
        return {name: info[name] for name in ("columns",) if name in info}
    names = ("height", "width", "channels")
    return {
        **dict(zip(names, info["image_shape"], strict=True)),
        "scale": SCALE,
        "invert": info.get("invert", False),
        "resize": RESIZE_FILTER.name.lower(),
        **{name: info[name] for name in ("levels",) if name in info},
    }


def usual_size(info: dict) -> tuple[int, int]:
    """Support and query examples of a held-out task, which the export warms up."""
    if "support_examples" in info:  # of tasks that vary, the largest
        return info["support_examples"], max(1, info["query_examples"])
    ways = info.get("ways", 1)
    return ways * info["shots"], max(1, ways * info["queries"])


def check_export(settings: Settings, learner, directory: Path) -> str:
    """Loads an export, adapts to a held-out task through its signature, and says how it did."""
    options = settings.evaluate
    stream = building.held_out_stream(settings, options.split, options.seed)
    signatures = tf.saved_model.load(str(directory)).signatures
    if "adapt_and_act" in signatures:
        return policies.check_export(learner, stream, directory, signatures["adapt_and_act"])
    support, query = (present(part) for part in unpack_tasks(*stream.sample(0)))
    answers = signatures["adapt_and_predict"](
        **named_inputs("support_inputs", support.inputs),
        support_targets=support.targets,
        **named_inputs("query_inputs", query.inputs),
    )
    outputs = answers.get("logits", answers["predictions"])
    metrics = evaluation.query_metrics(
        learner.loss, query.targets.numpy()[None], outputs.numpy()[None, None]
    )
    name, value = next(iter(metrics.items()))
    loss = answers["support_loss"].numpy()
    return (
        f"\nexport: loaded {directory} and adapted to a held-out task through its signature "
        f"adapt_and_predict: support loss {loss[0]:.3f} -> {loss[-1]:.3f} after {len(loss) - 1} "
        f"steps, query {name.replace('_', ' ')} {value[0, 0]:.3f}"
    )


def present(examples: Examples) -> Examples:
    """The examples that count, without those that fill a set up."""
    if examples.weights is None:
        return examples
    counts = examples.weights > 0
    return tf.nest.map_structure(lambda tensor: tensor[counts], examples)


def named_inputs(name: str, inputs) -> dict:
    """Inputs by the names of a signature's tensors."""
    if not isinstance(inputs, dict):
        return {name: inputs}
    return {f"{name}_{key}": value for key, value in inputs.items()}


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
