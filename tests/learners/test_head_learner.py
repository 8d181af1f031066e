"""Heads on features that are not trained: which learner, and answers without `fit`."""

import keras
import numpy as np
import pytest

import tfmeta
from tfmeta.learners.head_learner import HEADS


def network(**options):
    keras.utils.set_random_seed(0)
    rows = keras.Input((4,))
    backbone = keras.Model(rows, keras.layers.Dense(6, activation="tanh", name="rows")(rows))
    return tfmeta.networks.with_head(backbone, ways=4, **options)


def test_a_head_is_a_learner_of_the_core():
    learners = [type(tfmeta.head_learner(network(), head)) for head in HEADS]
    assert learners == [tfmeta.UnicornMAML, tfmeta.PrototypicalNetwork, tfmeta.R2D2]
    chosen = tfmeta.head_learner(network(), "linear", inner_rate=0.3, normalization="inductive")
    assert (chosen.inner_rate, chosen.normalization) == (0.3, "inductive")
    with pytest.raises(ValueError, match=r"head must be one of 'linear'.*Received: 'cosine'"):
        tfmeta.head_learner(network(), "cosine")


@pytest.mark.parametrize("head", HEADS)
def test_it_tells_three_classes_of_four_outputs_apart_without_training(head):
    learner = tfmeta.head_learner(network(), head)
    rng = np.random.default_rng(0)
    centres = 2 * np.eye(4)[:3]
    labels = np.arange(3).repeat(4)
    support, query = (centres[labels] + 0.3 * rng.normal(size=(12, 4)) for _ in range(2))
    logits = learner.adapt(support, labels).predict(query, verbose=0)
    assert logits.argmax(axis=1).tolist() == labels.tolist()
    # The head is all that moved, and what it answers from is the norm that features have.
    features = keras.Model(
        learner.network.input, learner.network.get_layer("scaled_features").output
    )
    norms = np.linalg.norm(features(query), axis=1)
    np.testing.assert_allclose(norms, 4.0, rtol=1e-5)
