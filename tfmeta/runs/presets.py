"""Presets and runs: a run becomes a preset, a preset becomes an export."""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfmeta.learners import MetaLearner
from tfmeta.learners.core.variables import changed_groups
from tfmeta.learners.keras_model.preset_learner import learner_of, preset_arrays, preset_config
from tfmeta.presets import Preset, open_preset, read_preset, write_preset
from tfmeta.presets.card import DATA_TERMS, usual_limits
from tfmeta.process.user_cache import cache_directory
from tfmeta.process.version import __version__
from tfmeta.runs import building, exporting, record
from tfmeta.runs.checkpoints import state_of
from tfmeta.runs.recipe import RecipeError, config
from tfmeta.runs.workdir import EVALUATION, WorkDir

WEIGHTS = "weights.npz"
_VARIABLE = "model/{group}/{index}/.ATTRIBUTES/VARIABLE_VALUE"


def make_preset(
    workdir: str | os.PathLike,
    output: str | os.PathLike,
    *,
    license: str,
    name: str | None = None,
    export_dir: str | os.PathLike | None = None,
    limits: Sequence[str] = (),
) -> Preset:
    """Writes the preset of an evaluated run.

    evaluation.json names the checkpoint whose weights are taken. A folder without checkpoints may
    hold weights.npz instead.

    Args:
        workdir: a work directory, or a folder with config.gin, evaluation.json and weights.npz.
        output: the file to write, which ends in ".npz".
        license: of the weights.
        name: of the preset; None: the recipe's.
        export_dir: a version directory of the run's export to take the weights from, or None.
        limits: sentences for the card, beside what follows from the evaluation.

    Returns:
        The preset, as it is read back.

    Raises:
        RecipeError: if the folder is not that of an evaluated run, or has no weights.
    """
    place = WorkDir(workdir)
    evaluation = _evaluation(place)
    protocol = evaluation["protocol"]
    if "ensemble" in protocol:
        raise RecipeError(
            "A preset has the weights of one checkpoint. Received: an evaluation of an ensemble, "
            f"in {place.path}. Evaluate one: --gin_param='evaluate.ensemble = 1'."
        )
    with config.configured(place.recipe()) as settings:
        learner = building.build_learner(settings, tf.distribute.get_strategy())
        if not isinstance(learner, MetaLearner):
            raise RecipeError(
                "A preset is of a learner such as tfmeta.MAML. Received: "
                f"{type(learner).__name__}, of {place.path}."
            )
        _restore(learner, place, protocol["step"], export_dir)
        training = {
            "recipe": protocol["recipe"],
            "step": protocol["step"],
            "steps": settings.train.steps,
            "seed": settings.train.seed,
            "config": settings.config,
        }
        export = exporting.export_options(settings)
    info = {
        "name": name or protocol["recipe"],
        "learner": preset_config(learner),
        "export": export,
        "training": training,
        "evaluation": evaluation,
        "made_with": record.versions("tfmeta", "tensorflow", "keras"),
        "license": license,
        "data_license": DATA_TERMS.get(protocol.get("name")),
        "limits": [*usual_limits(evaluation, training), *limits],
    }
    preset = Preset(json.loads(json.dumps(info, allow_nan=False)), preset_arrays(learner))
    learner_of(MetaLearner, preset, {})  # or it is no preset
    return read_preset(write_preset(preset, output))


def export_preset(source: str | os.PathLike, export_dir, sha256: str | None = None) -> Path:
    """Exports a preset as a new version; returns the version's directory.

    Args:
        source: name, path or URL, as of `tfmeta.presets.find_preset`.
        export_dir: directory of the model's versions.
        sha256: of the file; a URL needs it.
    """
    preset = open_preset(source, sha256)
    learner = learner_of(MetaLearner, preset, {})
    return Path(learner.export(str(export_dir), **_options(preset)))


def cached_export(source: str | os.PathLike, sha256: str | None = None) -> Path:
    """A directory with one exported version of a preset, made where it is not there yet.

    It is in `$TFMETA_CACHE_DIR/presets`, one for each preset's file, version of tfmeta and version
    of TensorFlow.

    Args:
        source: name, path or URL, as of `tfmeta.presets.find_preset`.
        sha256: of the file; a URL needs it.

    Returns:
        The directory of versions, named by the preset.
    """
    preset = open_preset(source, sha256)
    made = f"{preset.sha256[:32]}-{__version__}-{tf.__version__}"
    folder = cache_directory() / "presets" / made / preset.name
    if (folder / "1" / "saved_model.pb").is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as temporary:
        new = Path(temporary) / preset.name
        learner_of(MetaLearner, preset, {}).export(str(new), version=1, **_options(preset))
        try:
            os.rename(new, folder)
        except OSError as error:
            # Whatever is there, whole by another process or not, is never removed.
            if not (folder / "1" / "saved_model.pb").is_file():
                raise RecipeError(
                    "The cache must hold whole exports. Received: "
                    f"{folder}, without a SavedModel ({error}). Remove that folder, and try again."
                ) from error
    return folder


def _options(preset: Preset) -> dict:
    """Options of the preset's export.

    Raises:
        ValueError: if the preset does not say them as a run does.
    """
    export = dict(preset.info["export"])
    try:
        export["warmup_sizes"] = [tuple(size) for size in export["warmup_sizes"]]
        export["metadata"] = {**export["metadata"], "preset": preset.name, "sha256": preset.sha256}
    except (LookupError, TypeError) as error:
        raise ValueError(
            "A preset's export must have warmup_sizes and metadata, as `python -m tfmeta.presets` "
            f"writes them. Received: {preset.name!r} without ({error!r}). Make it anew."
        ) from error
    return export


def _evaluation(place: WorkDir) -> dict:
    path = place.path / EVALUATION
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(
            f"A preset's card is made from {EVALUATION}. Received: {place.path}, which has none. "
            "Run: python -m tfmeta.evaluate --workdir=..."
        ) from None


def _restore(learner, place: WorkDir, step: int, export_dir) -> None:
    checkpoints = place.checkpoints()
    if export_dir is not None:
        _restore_export(learner, Path(export_dir))
    elif step in checkpoints.steps():
        checkpoints.restore(step, state_of(learner), counters=False)
    elif (place.path / WEIGHTS).is_file():
        _restore_weights(learner, place.path / WEIGHTS)
    else:
        raise RecipeError(
            f"A preset has the weights that {EVALUATION} is of, those of step {step}. Received: "
            f"{place.path}, which has neither that checkpoint nor {WEIGHTS}. Evaluate it again, "
            "with a checkpoint that is there."
        )


def _restore_weights(learner, path: Path) -> None:
    """Assigns the parameters of an npz by their paths."""
    if learner.state_variables and changed_groups(learner):
        raise RecipeError(
            f"{WEIGHTS} holds no state, which {type(learner).__name__} learns too. Received: "
            f"{path}. Make the preset from the work directory."
        )
    with np.load(path, allow_pickle=False) as arrays:
        if set(arrays) != set(learner.parameter_paths):
            raise RecipeError(
                f"{WEIGHTS} must hold the learner's parameters by their paths. Received: {path} "
                f"with {', '.join(arrays)} for {', '.join(learner.parameter_paths)}."
            )
        for name, variable in zip(
            learner.parameter_paths, learner.parameter_variables, strict=True
        ):
            variable.assign(arrays[name])


def _restore_export(learner, version: Path) -> None:
    """Assigns the variables of an exported version, which are in the learner's order."""
    reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    groups = {"parameters": learner.parameter_variables, "state": learner.state_variables}
    for group, variables in groups.items():
        for index, variable in enumerate(variables):
            variable.assign(reader.get_tensor(_VARIABLE.format(group=group, index=index)))
