"""A learner's whole road for one task: fit, evaluate, predict, adapt, export, serve."""

import keras
import numpy as np
import tensorflow as tf

import tfmeta
from tests.keras_contract.eagerly import eagerly

LABELS = np.arange(3)[np.newaxis]


def learner_of(network, **options):
    """MAML, compiled for logits of three classes."""
    learner = tfmeta.MAML(network, inner_rate=0.1, inner_steps=1, **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner.compile(keras.optimizers.SGD(0.0), loss)
    return learner


def assert_served_as_trained(network, support, query, path, separator="_"):
    """Trains and serves a network; its answers agree with Keras' at 0 steps, and with the export.

    Training, prediction and export are traced; what is compared with them is not.

    Args:
        network: a functional `keras.Model` with three outputs.
        support: inputs [1, 3, ...], or a structure of them.
        query: likewise.
        path: directory of the export.
        separator: of the parts of the signature's input names.
    """

    def one(structure):
        return keras.tree.map_structure(lambda array: array[0], structure)

    def named(prefix, structure):
        return {
            separator.join(map(str, [prefix, *where])): tf.constant(array)
            for where, array in keras.tree.flatten_with_path(one(structure))
        }

    tensors = keras.tree.map_structure(tf.constant, (support, LABELS, query))
    learner = learner_of(network)
    with eagerly():
        curve, _ = learner.adaptation_curve(tensors, inner_steps=1)
    stock = network(keras.tree.map_structure(tf.constant, one(query)), training=False)
    np.testing.assert_allclose(curve[0, 0], stock, atol=1e-6)
    history = learner.fit((support, LABELS, query), LABELS, verbose=0).history
    with eagerly():
        evaluated = learner.evaluate((support, LABELS, query), LABELS, verbose=0)
        adapted = learner.adapt(one(support), LABELS[0])
        of_adapted = adapted.predict(one(query), verbose=0)
    np.testing.assert_allclose(evaluated, history["loss"][0], rtol=1e-5)
    answers = learner.predict((support, LABELS, query), verbose=0)[0]
    np.testing.assert_allclose(answers, curve[0, 1], atol=1e-6)
    np.testing.assert_allclose(of_adapted, answers, atol=1e-6)
    version = learner.export(str(path))
    signature = tf.saved_model.load(version).signatures["serving_default"]
    served = signature(
        support_targets=tf.constant(LABELS[0], tf.int32),
        **named("support_inputs", support),
        **named("query_inputs", query),
    )
    np.testing.assert_allclose(served["logits"], answers, atol=1e-6)
