"""Draws of probabilistic learners have the distribution that their documents say."""

import numpy as np
import pytest
import tensorflow as tf

import tfmeta

KEYS = 2000


def network():
    return tfmeta.networks.mlp((3,), 1, input_dim=2, dtype="float64")


@pytest.mark.slow
def test_platipus_draws_a_normal_number_for_every_entry_by_the_key():
    learner = tfmeta.PLATIPUS(network(), inner_rate=0.1, inner_steps=1)

    def flat(key):
        return tf.concat(
            [tf.reshape(part, [-1]) for part in learner.task_network.normal(key, 1)], axis=0
        )

    drawn = tf.map_fn(flat, learner.task_keys(0, KEYS), fn_output_signature="float64").numpy()
    entries = drawn.shape[1]
    # Five standard errors each, over 13 entries.
    assert np.max(np.abs(drawn.mean(axis=0))) < 5 / np.sqrt(KEYS)
    assert np.max(np.abs(drawn.var(axis=0) - 1)) < 5 * np.sqrt(2 / KEYS)
    assert np.abs(np.mean(drawn**4) - 3) < 5 * np.sqrt(96 / (KEYS * entries))
    correlations = np.corrcoef(drawn, rowvar=False) - np.eye(entries)
    assert np.max(np.abs(correlations)) < 5 / np.sqrt(KEYS)
    following = np.mean(drawn[1:] * drawn[:-1], axis=0)
    assert np.max(np.abs(following)) < 5 / np.sqrt(KEYS)


@pytest.mark.slow
def test_mt_net_lets_a_unit_through_as_often_as_its_logit_says():
    logits = np.array([-2.0, 0.0, 1.0])
    learner = tfmeta.MTNet(network(), inner_rate=0.1)
    hidden = tf.constant(logits)
    others = [tf.zeros(v.shape, v.dtype) for v in learner.logit_variables[1:]]

    def mask(key):
        return learner.masks([hidden, *others], key)[0]

    drawn = tf.map_fn(mask, learner.task_keys(0, KEYS), fn_output_signature="float64").numpy()
    assert set(np.unique(drawn)) == {0.0, 1.0}
    expected = 1 / (1 + np.exp(-logits))
    deviation = np.sqrt(expected * (1 - expected) / KEYS)
    assert np.all(np.abs(drawn.mean(axis=0) - expected) < 5 * deviation)
    correlations = np.corrcoef(drawn, rowvar=False) - np.eye(3)
    assert np.max(np.abs(correlations)) < 5 / np.sqrt(KEYS)
