"""A run's learner as a file for LiteRT."""

from pathlib import Path

from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.runs import building
from tfmeta.runs.exporting import named_inputs, preprocessing_of, present
from tfmeta.runs.recipe import RecipeError
from tfmeta.runs.recipe.settings import Settings
from tfmeta.saved_model import export_litert, read_description
from tfmeta.saved_model.version_directory import LITERT_FILE
from tfmeta.tasks.task import unpack_tasks

_TRIED_TASKS = 4


def export(
    settings: Settings,
    learner,
    folder,
    *,
    normalization=None,
    inner_steps=None,
    tolerance=None,
    **sizes,
) -> Path:
    """Writes a new version of the LiteRT file, tried on held-out tasks; returns its directory.

    Args:
        settings: of the run.
        learner: the run's.
        folder: directory of the model's versions.
        normalization: another mode than the learner's, or None.
        inner_steps: another number than the learner's, or None.
        tolerance: see `export_litert`.
        **sizes: shots and queries, where they are not the recipe's.
    """
    if not isinstance(learner, MetaLearner):
        raise RecipeError(
            "--format=litert is for classifiers and regressions. Received: a run of "
            f"{type(learner).__name__}. Leave --format out."
        )
    options = settings.evaluate
    sizes = {"shots": building.first_shots(settings), **sizes}
    stream = building.held_out_stream(settings, options.split, options.seed, **sizes)
    servable = learner.servable(normalization or settings.export.normalization)
    return Path(
        export_litert(
            servable,
            folder,
            tasks=[_request(stream, index) for index in range(_TRIED_TASKS)],
            inner_steps=inner_steps,
            tolerance=tolerance,
            preprocessing=preprocessing_of(stream.info),
            metadata={"recipe": settings.recipe, "tasks": stream.info},
        )
    )


def describe(directory: Path) -> str:
    """The size of a LiteRT file, what it is made for, and how far it is from the learner."""
    description = read_description(directory)
    sizes, found = description["sizes"], description["agreement"]
    kilobytes = (directory / LITERT_FILE).stat().st_size / 1e3
    distance = max(output["distance"] for part in found.values() for output in part.values())
    return (
        f"\nexport: {directory / LITERT_FILE} ({kilobytes:,.0f} kB), for {sizes['support']} "
        f"support and {sizes['query']} query examples and {sizes['inner_steps']} inner steps, "
        f"with signatures {', '.join(found)}. On {_TRIED_TASKS} held-out tasks it differs from "
        f"the learner by {distance:.1e} of the largest output at most."
    )


def _request(stream, index):
    """A held-out task as a request for `adapt_and_predict`."""
    support, query = (present(part) for part in unpack_tasks(*stream.sample(index)))
    return {
        **named_inputs("support_inputs", support.inputs),
        "support_targets": support.targets,
        **named_inputs("query_inputs", query.inputs),
    }
