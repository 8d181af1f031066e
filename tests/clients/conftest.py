"""Two exported models behind one server, and the clients that operators copy."""

import pathlib
import sys

import keras
import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import faulty_server

import tfmeta

IMAGE_SHAPE = (8, 8, 1)


def sinusoid_learner(seed):
    """MLP for regression, transductive."""
    keras.utils.set_random_seed(seed)
    learner = tfmeta.MAML(tfmeta.networks.mlp((8,)), inner_rate=0.01, inner_steps=2)
    learner.compile("adam", "mse")
    return learner


def letters_learner(seed):
    """Classifier of three ways, inductive: its predictions take the support inputs too."""
    keras.utils.set_random_seed(seed)
    network = keras.Sequential(
        [
            keras.Input(IMAGE_SHAPE),
            keras.layers.Conv2D(4, 3, strides=2),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    learner = tfmeta.MAML(network, inner_rate=0.1, inner_steps=2, normalization="inductive")
    learner.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return learner


MODELS = {"sinusoid": sinusoid_learner, "letters": letters_learner}


@pytest.fixture(scope="session")
def make_learner():
    """`make_learner(name, seed)` -> an untrained learner."""
    return lambda name, seed=1: MODELS[name](seed)


@pytest.fixture(scope="session")
def learners(make_learner):
    """The learners in this process, by name."""
    return {name: make_learner(name) for name in MODELS}


@pytest.fixture(scope="session")
def export_dirs(learners, made_once):
    """Directories of versions, by name; the seeds give every process the same weights."""
    return {
        name: made_once(
            f"exported_learner_{name}",
            lambda folder, of=learner: of.export(folder, warmup_sizes=[]),
        ).parent
        for name, learner in learners.items()
    }


@pytest.fixture(scope="session")
def server(export_dirs):
    """A running server of both models."""
    from tfmeta import serve

    models = [serve.ModelConfig(name, str(path)) for name, path in export_dirs.items()]
    options = serve.ServerOptions(port=0, rest_api_port=0)
    with serve.Server(models, options) as running:
        yield running


@pytest.fixture
def faulty():
    """`faulty(*script, pause=0, context=None)` -> (url, what it has seen)."""
    with faulty_server.faulty_servers() as begin:
        yield begin


@pytest.fixture(params=["grpc", "rest"])
def target(request, server):
    """Where a client finds the server, over each protocol."""
    return server.grpc_address if request.param == "grpc" else server.rest_url


@pytest.fixture(scope="session")
def task():
    """`task(name, support, queries)`: (support inputs, targets, query inputs) of a model."""

    def get(name, support=6, queries=4, seed=0):
        draw = np.random.default_rng(seed)
        if name == "sinusoid":
            x = draw.uniform(-5, 5, (support + queries, 1)).astype("float32")
            return x[:support], np.sin(x[:support]), x[support:]
        x = draw.uniform(size=(support + queries, *IMAGE_SHAPE)).astype("float32")
        return x[:support], np.arange(support, dtype="int32") % 3, x[support:]

    return get
