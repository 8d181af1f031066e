"""Joint training and fine-tuning against plain Keras."""

import keras
import numpy as np
import pytest

import tfmeta
from tests.learners.conftest import classifier, classifier_network, relative_error

RATE, STEPS, CLASSES = 0.3, 4, 9
# Keras casts what `train_on_batch` is given to float32.
TOLERANCE = 1e-6
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def normalised_network():
    """Float64, with batch normalisation before the head."""
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((2,), dtype="float64"),
            keras.layers.Dense(4, "tanh", dtype="float64", name="hidden"),
            keras.layers.BatchNormalization(momentum=0.5, dtype="float64", name="norm"),
            keras.layers.Dense(3, dtype="float64", name="head"),
        ]
    )


@pytest.mark.usefixtures("without_traces")
@pytest.mark.parametrize("adapted", [None, "head/*"])
def test_adaptation_is_plain_keras_fine_tuning(labelled, adapted):
    learner = tfmeta.FineTuning(
        normalised_network(), CLASSES, RATE, STEPS, adapted=adapted, normalization="transductive"
    )
    found = classifier(learner).task_weights(labelled.support_x, labelled.support_y)
    for task in range(3):
        network = normalised_network()
        if adapted:
            network.get_layer("hidden").trainable = False
            # Frozen, Keras' batch normalisation would use its averages, so only its weights are.
            network.get_layer("norm").gamma.trainable = False
            network.get_layer("norm").beta.trainable = False
        network.compile(keras.optimizers.SGD(RATE), LOSS)
        for _ in range(STEPS):
            network.train_on_batch(labelled.support_x[task], labelled.support_y[task])
        kept = [*network.layers[0].variables, *network.get_layer("norm").variables[:2]]
        expected = [v.numpy() for v in (*kept, *network.get_layer("head").variables)]
        assert relative_error([w[task] for w in found], expected) < TOLERANCE


def test_training_is_plain_keras_training_of_all_classes(labelled):
    learner = classifier(tfmeta.FineTuning(normalised_network(), CLASSES))
    labels = labelled.query_y[:1] + 5
    network = normalised_network()
    hidden, norm, _ = network.layers
    joint = keras.Sequential(
        [keras.Input((2,), dtype="float64"), hidden, norm, keras.layers.Dense(CLASSES)]
    )
    joint.layers[-1].dtype_policy = "float64"
    joint.build((None, 2))
    for variable, own in zip(
        joint.layers[-1].trainable_variables, learner.classifier_variables, strict=True
    ):
        variable.assign(own.numpy())
    joint.compile(keras.optimizers.SGD(1.0), LOSS)
    for _ in range(3):
        x = labelled.support_x[:1], labelled.support_y[:1], labelled.query_x[:1]
        learner.train_on_batch(x, labels)
        joint.train_on_batch(labelled.query_x[0], labels[0])

    own = [*learner.network.layers[0].variables, *learner.network.layers[1].variables]
    expected = [*joint.layers[0].variables, *joint.layers[1].variables]
    assert relative_error(own, expected) < TOLERANCE
    fresh = normalised_network().get_layer("head")
    for now, before in zip(learner.network.layers[-1].variables, fresh.variables, strict=True):
        np.testing.assert_array_equal(now, before)


def test_labels_of_training_may_reach_the_number_of_classes_and_those_of_tests_the_ways(labelled):
    learner = classifier(tfmeta.FineTuning(classifier_network(), CLASSES))
    learner.train_on_batch(labelled.batch[0], labelled.query_y + CLASSES - 3)
    with pytest.raises(Exception, match=r"query_y must be from 0 to 8"):
        learner.train_on_batch(labelled.batch[0], labelled.query_y + CLASSES)
    with pytest.raises(Exception, match=r"query_y must be from 0 to 2"):
        learner.test_on_batch(labelled.batch[0], labelled.query_y + 1)


def test_it_fits_a_stream_of_the_splits_labels_and_validates_on_tasks():
    options = {"shots": 1, "image_size": 8, "drawings": 4}
    train = tfmeta.tasks.glyphs(
        "train", ways=16, queries=1, seed=0, label_scope="split", **options
    ).batch(1)
    test = tfmeta.tasks.glyphs("test", ways=3, queries=1, seed=1, count=4, **options).batch(2)
    learner = tfmeta.FineTuning(
        tfmeta.networks.conv4(3, (8, 8, 1), filters=2), classes=160, inner_steps=1
    )
    learner.compile("adam", LOSS, ["accuracy"])
    history = learner.fit(train, steps_per_epoch=2, validation_data=test, verbose=0).history
    assert np.isfinite(history["loss"] + history["val_loss"]).all()
    assert "val_accuracy" in history


def test_the_number_of_classes_is_asked_for():
    with pytest.raises(ValueError, match=r"classes must be the number of training classes.*None"):
        tfmeta.FineTuning(classifier_network(), None)
