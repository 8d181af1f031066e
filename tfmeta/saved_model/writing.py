"""Writes a `Servable` as a version directory that TensorFlow Serving can load."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfmeta.saved_model.checksums import write_checksums
from tfmeta.saved_model.description import describe, write_description
from tfmeta.saved_model.limits import Limits
from tfmeta.saved_model.servable import Servable
from tfmeta.saved_model.signatures import Signatures
from tfmeta.saved_model.stock_graph import refuse_unservable
from tfmeta.saved_model.version_directory import (
    LITERT_FILE,
    MODEL_FILE,
    new_version,
    refuse_other_versions,
)
from tfmeta.saved_model.warmup import SERVING_DEFAULT, usual_sizes, write_warmup

FINGERPRINT_FILE = "fingerprint.pb"


def export_servable(
    servable: Servable,
    export_dir: str | os.PathLike,
    version: int | None = None,
    *,
    max_support: int = Limits.max_support,
    max_query: int = Limits.max_query,
    max_tasks: int = Limits.max_tasks,
    max_inner_steps: int = Limits.max_inner_steps,
    warmup_sizes: Sequence[tuple[int, int]] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> str:
    """Writes EXPORT_DIR/<version>: SavedModel, warmup records and metadata.

    The version appears under its name only once it is whole and its warmup records were answered.

    Args:
        servable: the functions, variables, shapes and metadata to export.
        export_dir: directory of all versions; made if missing.
        version: integer from 0, or None for the next free one.
        max_support: largest number of support examples of a task, 1000 by default.
        max_query: largest number of query examples of a task, 1000 by default.
        max_tasks: largest number of tasks of a request, 1000 by default.
        max_inner_steps: largest number of inner steps of a request, 1000 by default.
        warmup_sizes: (S, Q) pairs to write warmup records for; None for the servable's usual
            ones; empty for no records.
        preprocessing: how images were prepared (`Servable.preprocessing`); None for the
            servable's.
        metadata: anything that JSON can hold, added to the servable's `metadata`.

    Returns:
        The path of the version directory.

    Raises:
        FileExistsError: if the version exists.
        ValueError: if a weight is not a finite number, or the network holds what a stock server
            refuses (XLA, Python, custom operations); the layer is named.
    """
    limits = Limits(max_support, max_query, max_tasks, max_inner_steps)
    refuse_broken_weights(servable)
    refuse_other_versions(export_dir, MODEL_FILE, LITERT_FILE)
    servable = dataclasses.replace(
        servable,
        preprocessing=servable.preprocessing if preprocessing is None else preprocessing,
        metadata={**servable.metadata, **(metadata or {})},
    )
    with new_version(export_dir, version) as directory:
        signatures = Signatures(servable, limits)
        save(signatures, directory.path)
        write_description(directory.path, describe(servable, signatures, limits))
        sizes = usual_sizes(servable) if warmup_sizes is None else warmup_sizes
        sizes = [(min(support, max_support), min(query, max_query)) for support, query in sizes]
        if sizes:
            write_warmup(directory.path, servable, signatures, sizes)
        write_checksums(directory.path)
    return str(directory.path)


def save(signatures, path):
    """Saves the signatures into a directory, checks the graph and writes the shapes to be sent."""
    functions = dict(signatures.functions)
    functions[SERVING_DEFAULT] = functions[signatures.serving_default]
    tf.saved_model.save(signatures, str(path), signatures=functions)
    file = pathlib.Path(path) / MODEL_FILE
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for meta_graph in model.meta_graphs:
        refuse_unservable(meta_graph)
        # The same tensors: what a server prepared to run the one it has ready for the other.
        default = meta_graph.signature_def[signatures.serving_default]
        meta_graph.signature_def[SERVING_DEFAULT].CopyFrom(default)
        for name, definition in meta_graph.signature_def.items():
            name = signatures.serving_default if name == SERVING_DEFAULT else name
            if name in signatures.functions:
                _state_shapes(definition.inputs, signatures.input_shapes[name])
                _state_shapes(definition.outputs, signatures.output_shapes[name])
    file.write_bytes(model.SerializeToString())
    # It describes the file as TensorFlow wrote it; readers do without.
    (pathlib.Path(path) / FINGERPRINT_FILE).unlink(missing_ok=True)


def _state_shapes(tensors, shapes):
    """Writes what clients are to send and will get where the graph itself takes any shape."""
    for name, shape in shapes.items():
        tensors[name].tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())


def refuse_broken_weights(servable):
    """Raises a ValueError where a variable of the servable holds what is not a finite number."""
    for variable in (*servable.parameters, *servable.state):
        value = np.asarray(tf.cast(tf.convert_to_tensor(variable), tf.float64))
        if not np.all(np.isfinite(value)):
            name = getattr(variable, "path", variable.name)
            raise ValueError(
                "Only an initialisation of finite numbers can be exported. Received: NaN or "
                f"infinity in {name}. Export a checkpoint from before training diverged."
            )
