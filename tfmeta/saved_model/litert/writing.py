"""Writes a `Servable` as a version directory with one file for LiteRT."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfmeta.saved_model.checksums import write_checksums
from tfmeta.saved_model.description import describe, plain, write_description
from tfmeta.saved_model.litert.agreement import distances
from tfmeta.saved_model.litert.conversion import converted
from tfmeta.saved_model.litert.lowerings import lowered
from tfmeta.saved_model.litert.traced import Sizes, TracedSignatures
from tfmeta.saved_model.servable import Servable
from tfmeta.saved_model.version_directory import (
    LITERT_FILE,
    MODEL_FILE,
    new_version,
    refuse_other_versions,
)
from tfmeta.saved_model.writing import refuse_broken_weights


def export_litert(
    servable: Servable,
    export_dir: Any,
    version: int | None = None,
    *,
    tasks: Sequence[Mapping],
    inner_steps: int | None = None,
    tolerance: float | None = None,
    preprocessing: Mapping | None = None,
    metadata: Mapping | None = None,
) -> str:
    """Writes EXPORT_DIR/<version>: model.tflite and metadata.

    The file has the signatures `adapt`, `predict_adapted` and `adapt_and_predict`, for the sizes
    of `tasks`, and consists of LiteRT's builtin operations. Every signature is run on every task
    first. The version appears under its name only if all of them compute what the learner does.

    Args:
        servable: `Servable`, of dtype "float32".
        export_dir: directory of all versions; made if missing.
        version: integer from 0, or None for the next free one.
        tasks: dicts with the inputs of `adapt_and_predict` (support_inputs [S, ...],
            support_targets [S, ...], query_inputs [Q, ...]). S and Q are the file's.
        inner_steps: number of inner steps; None: the servable's.
        tolerance: greatest difference from the learner, as a share of an output's largest entry.
            None: 1e-5; for a network with convolutions or pooling 1e-5, or three times the distance
            between what it computes in float32 and in float64, where that is more, and 1e-2 at
            most. (The distance is the largest over the tasks, with their inputs' last bits moved
            four times.)
        preprocessing: how images were prepared (`Servable.preprocessing`); None for the
            servable's.
        metadata: anything that JSON can hold, added to the servable's `metadata`.

    Returns:
        The path of the version directory.

    Raises:
        FileExistsError: if the version exists.
        ValueError: if a weight is not a finite number, the tasks differ in size, the network
            needs an operation that LiteRT lacks (the layer is named), or a signature computes
            something else than the learner (signature and distance are named).
    """
    refuse_broken_weights(servable)
    refuse_other_versions(export_dir, LITERT_FILE, MODEL_FILE)
    if servable.dtype != "float32":
        raise ValueError(
            "LiteRT computes in float32. "
            f"Received: a network of dtype {servable.dtype!r}. Build it in float32."
        )
    if inner_steps is not None:
        servable = dataclasses.replace(servable, inner_steps=inner_steps)
    tasks = [{name: np.asarray(value) for name, value in task.items()} for task in tasks]
    sizes = _sizes(tasks, servable.inner_steps)
    traced = TracedSignatures(servable, sizes)
    tasks = _cast(tasks, traced)
    with new_version(export_dir, version) as directory:
        content = converted(
            traced.model,
            {signature.name: signature.replayed(lowered) for signature in traced.signatures},
            [signature.function for signature in traced.signatures],
        )
        found = distances(content, traced.signatures, tasks, tolerance)
        (directory.path / LITERT_FILE).write_bytes(content)
        servable = dataclasses.replace(
            servable,
            preprocessing=servable.preprocessing if preprocessing is None else preprocessing,
            metadata={**servable.metadata, **(metadata or {})},
        )
        write_description(directory.path, _description(servable, traced, sizes, found))
        write_checksums(directory.path)
    return str(directory.path)


def _sizes(tasks, inner_steps):
    """The sizes that all tasks share."""
    found = sorted({(_rows(task, "support"), _rows(task, "query")) for task in tasks})
    if len(found) != 1:
        raise ValueError(
            "A LiteRT file is made for one size, that of its tasks. Received: tasks of "
            f"{found} (support, query) examples. Give at least one task, all of one size."
        )
    support, query = found[0]
    return Sizes(support, query, inner_steps)


def _rows(task, part):
    """Number of examples of a task's support or query set."""
    names = [name for name in task if name.startswith(f"{part}_inputs")]
    if not names:
        raise ValueError(
            f"A task must have {part}_inputs. Received: {', '.join(task)}. Give a dict with the "
            "inputs of adapt_and_predict."
        )
    return len(task[names[0]])


def _cast(tasks, traced):
    """The tasks in the types and shapes of the signature."""
    specs = traced.signatures[-1].specs
    found = []
    for task in tasks:
        if set(task) != set(specs):
            raise ValueError(
                f"A task must have {', '.join(specs)}. Received: {', '.join(task)}. Give each of "
                "them."
            )
        task = {name: task[name].astype(spec.dtype.as_numpy_dtype) for name, spec in specs.items()}
        for name, value in task.items():
            if not specs[name].shape.is_compatible_with(value.shape):
                raise ValueError(
                    f"{name} of a task must have the shape {tuple(specs[name].shape)}. "
                    f"Received: {value.shape}. Give tasks of the network that is exported."
                )
        found.append(task)
    return found


def _description(servable, traced, sizes, found):
    """The metadata of a SavedModel, without what only a server needs, and with what is fixed."""
    description = describe(servable, traced, sizes)
    for name in ("limits", "status_codes"):
        description.pop(name)
    return plain({**description, "sizes": dataclasses.asdict(sizes), "agreement": found})
