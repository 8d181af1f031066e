"""Learners and policies keep the contracts by which runs, evaluation and export ask them."""

import keras
import pytest

import tfmeta
from tfmeta.learners import contracts


def network():
    return tfmeta.networks.mlp(hidden=(4,))


def policy():
    environment = tfmeta.rl.Navigation()
    return tfmeta.rl.PolicyMAML(tfmeta.rl.gaussian_mlp(2, 2, hidden=(4,)), environment)


@pytest.mark.parametrize(
    ("make", "kept"),
    [
        (lambda: tfmeta.MAML(network()), {"Trainable", "Adapts", "Exportable"}),
        (
            lambda: tfmeta.PLATIPUS(network()),
            {"Trainable", "Adapts", "SamplesAnswers", "Exportable"},
        ),
        (policy, {"Trainable", "MeasuresTasks", "Exportable"}),
        (lambda: keras.Sequential([keras.layers.Dense(1)]), set()),
    ],
)
def test_contracts_tell_learners_policies_and_networks_apart(make, kept):
    learner = make()
    if kept:
        learner.compile(loss=None if "MeasuresTasks" in kept else "mse")
    names = ("Trainable", "Adapts", "MeasuresTasks", "SamplesAnswers", "Exportable")
    found = {name for name in names if isinstance(learner, getattr(contracts, name))}
    # Any Keras model has an `export` of its own, but no `servable`.
    assert found == kept
