"""The SavedModel of a run: what its recipe asks for, and the answer of the export loaded back."""

from pathlib import Path

import tensorflow as tf

from tfmeta import evaluation
from tfmeta.runs import building, policies
from tfmeta.runs.recipe.settings import Settings
from tfmeta.tasks.episodes import SCALE
from tfmeta.tasks.image_folder import RESIZE_FILTER
from tfmeta.tasks.task import Examples, unpack_tasks


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
