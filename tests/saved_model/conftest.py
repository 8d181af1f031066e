"""Exports and processes that serve them, made once for all tests of this room."""

import functools
import pathlib
import sys

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import example_servables as examples
from request_pipe import ModelProcess

import tfmeta.saved_model

SERVABLES = {
    "regression": examples.regression,
    "regression_float64": lambda: examples.regression(dtype="float64"),
    "classification": examples.classification,
    "classification_float64": lambda: examples.classification(dtype="float64"),
    "inductive": lambda: examples.classification(inductive=True),
    "two_inputs": examples.two_inputs,
}
LIMITS = {"max_support": 40, "max_query": 30, "max_tasks": 20, "max_inner_steps": 60}
WARMED = ("classification", "regression")  # the others have no warmup records
PROGRAMS = ("serve_with_load", "serve_with_session", "serve_with_c_api")


class Exported:
    """An export, and the servable that it was made of."""

    def __init__(self, name, made_once):
        self.servable = SERVABLES[name]()
        sizes = None if name in WARMED else []
        self.path = made_once(
            f"exported_{name}",
            lambda folder: tfmeta.saved_model.export_servable(
                self.servable, folder, **LIMITS, warmup_sizes=sizes
            ),
        )

    @functools.cached_property
    def signatures(self):
        """The signatures in this process."""
        return tfmeta.saved_model.Signatures(self.servable, tfmeta.saved_model.Limits(**LIMITS))

    def __call__(self, signature, request) -> dict:
        """Runs the concrete function that was saved, in this process."""
        tensors = {name: tf.constant(value) for name, value in request.items()}
        answer = self.signatures.functions[signature](**tensors)
        return {name: value.numpy() for name, value in answer.items()}


@pytest.fixture(scope="session")
def exported(made_once):
    """`exported(name)` -> `Exported`."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = Exported(name, made_once)
        return made[name]

    return get


@pytest.fixture(scope="session")
def served(exported):
    """`served(name, program)` -> `ModelProcess` of an export."""
    running = {}

    def get(name, program="serve_with_c_api"):
        if (name, program) not in running:
            running[name, program] = start(exported(name).path, program)
        return running[name, program]

    yield get
    for process in running.values():
        process.close()


def start(path, program="serve_with_c_api", *options):
    """Starts a program on a version directory."""
    arguments = (tf.sysconfig.get_lib(), *options) if program == "serve_with_c_api" else ()
    return ModelProcess(program, path, tensor_names(path), *arguments)


@pytest.fixture(scope="session")
def start_process():
    """`start_process(path, program, *options)` -> `ModelProcess`, ended with the session.

    By the C API where no program is named, each signature prepared alone.
    """
    started = []

    def get(path, *arguments):
        started.append(start(path, *(arguments or ("serve_with_c_api", "pruned"))))
        return started[-1]

    yield get
    for process in started:
        process.close()


def tensor_names(path):
    """Names of the graph's tensors for each signature's inputs and outputs."""
    file = pathlib.Path(path) / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    return {
        signature: {
            side: {name: info.name for name, info in getattr(definition, side).items()}
            for side in ("inputs", "outputs")
        }
        for signature, definition in model.meta_graphs[0].signature_def.items()
        if definition.outputs
    }
