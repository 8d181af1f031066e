"""The evaluation of a run: its reports, one for each protocol, with their pictures and tables."""

from pathlib import Path

from tfmeta import evaluation
from tfmeta.evaluation import calibration, outliers
from tfmeta.learners.contracts import SamplesAnswers
from tfmeta.runs import building, pictures, policies, results, sinusoids
from tfmeta.runs.ensemble import Ensemble
from tfmeta.runs.recipe import RecipeError
from tfmeta.runs.recipe.settings import Settings
from tfmeta.runs.signals import leave_if
from tfmeta.runs.workdir import WorkDir

# What is drawn of adaptation, by the name of the tasks, and the name of the picture.
_DRAWN = {
    "sinusoid": (sinusoids.draw_adaptation, "adaptation"),
    "navigation": (policies.draw_paths, "paths"),
}


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
        "report": lambda done: leave_if(stop),
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


def _headline(report: dict) -> str:
    protocol = report["protocol"]
    parts = [f"{protocol['ways']}-way"] if "ways" in protocol else []
    parts += [f"{protocol['shots']}-shot", f"{protocol.get('queries')} queries"]
    return (
        f"\n{protocol.get('name', 'tasks')} {', '.join(parts)}, {protocol['split']} split, "
        f"{protocol['checkpoint']} checkpoint (step {protocol['step']}), seed {protocol['seed']}"
    )
