"""Models and servers made once for all tests of this room."""

import io
import logging
import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(1, str(pathlib.Path(__file__).parents[1] / "saved_model"))

import example_models
import example_servables

import tfmeta.saved_model
import tfmeta.serve
from tfmeta.serve import logs

LIMITS = {"max_support": 40, "max_query": 30, "max_inner_steps": 1_000_000}
QUICK = {"file_system_poll_wait_seconds": 0.05, "shutdown_seconds": 10}


@pytest.fixture(scope="session")
def half_plus_two(made_once):
    """A version directory of the model half plus two."""
    return made_once("half_plus_two", lambda folder: example_models.save(folder / "half_plus_two"))


@pytest.fixture(scope="session")
def half_plus_three(tmp_path_factory):
    """The same model with another constant."""
    return example_models.save(tmp_path_factory.mktemp("models") / "half_plus_three", 3.0)


@pytest.fixture(scope="session")
def classifier(made_once):
    """A version directory of an exported classifier that adapts: 3 ways, [6, 6, 1] images.

    Without warmup records, which each of many servers would run.
    """

    def export(folder):
        servable = example_servables.classification()
        return tfmeta.saved_model.export_servable(servable, folder, **LIMITS, warmup_sizes=[])

    return made_once("classifier", export)


@pytest.fixture
def base_path(tmp_path):
    """`base_path(directory, version)` copies a version under a new base path and returns that."""

    def publish(directory, version=1, name="model"):
        target = tmp_path / name / str(version)
        beside = tmp_path / name / f".{version}"
        shutil.copytree(directory, beside)
        beside.rename(target)
        return target.parent

    return publish


@pytest.fixture
def start(request):
    """`tfmeta.serve.start` with quick polls; stopped after the test."""

    def begin(*arguments, **options):
        server = tfmeta.serve.start(*arguments, **{**QUICK, **options})
        request.addfinalizer(server.stop)
        return server

    return begin


@pytest.fixture(scope="module")
def served(half_plus_two, classifier, tmp_path_factory):
    """A server of both models, with a label, for tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(half_plus_two, folder / "half" / "123")
    shutil.copytree(classifier, folder / "classifier" / "1")
    models = [
        tfmeta.serve.ModelConfig("half_plus_two", str(folder / "half"), {"canary": 123}),
        tfmeta.serve.ModelConfig("classifier", str(folder / "classifier")),
    ]
    options = tfmeta.serve.ServerOptions(port=0, rest_api_port=0, **QUICK)
    with tfmeta.serve.Server(models, options) as server:
        yield server


@pytest.fixture
def log_lines():
    """`log_lines()` -> the JSON log so far, as text."""
    stream = io.StringIO()
    logs.configure("DEBUG", stream)
    yield stream.getvalue
    for name in ("tfmeta.serve", "uvicorn.error", "grpc"):
        logging.getLogger(name).handlers = []
