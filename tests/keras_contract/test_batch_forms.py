"""Batches as a `tfmeta.tasks.Task`, or with parts of None, are those without these parts."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conformance import registry
from tfmeta.tasks import Examples, Task

(SX, SY, QX), QY = registry.batch(tasks=2)
W, V = np.float32([[1, 2, 0, 1, 1]] * 2), np.float32([[1, 1, 2, 0, 1, 1]] * 2)
PLAIN = {
    "unweighted": ((SX, SY, QX), QY),
    "weighted": ((SX, SY, QX, V), QY, W),
}
FORMS = {
    "task": Task(Examples(SX, SY), Examples(QX, QY)),
    "none": ((SX, SY, QX, None), QY, None),
    "weighted task": Task(Examples(SX, SY, V), Examples(QX, QY, W)),
}


class Batches(keras.utils.PyDataset):
    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.batch


STREAMS = {
    "tf.data": tf.data.Dataset.from_tensors,
    "PyDataset": Batches,
    "generator": lambda batch: (each for each in [batch]),
}


def learner():
    """A new learner whose steps run eagerly, which is quick for a single batch."""
    return registry.LEARNERS["first_order_maml"].compiled(
        optimizer=keras.optimizers.SGD(0.25), parallel="sequential", fit={"run_eagerly": True}
    )


def results(fit, evaluate, predict):
    """What each of three functions of a new learner gives: (weights, loss, answers)."""
    trained = learner()
    fit(trained)
    return [
        *(variable.numpy() for variable in trained.parameter_variables),
        evaluate(learner()),
        predict(learner()),
    ]


@pytest.fixture(scope="module")
def expected():
    """Of each plain batch, what one batch of arrays gives."""
    return {
        name: results(
            lambda made, batch=batch: made.train_on_batch(*batch),
            lambda made, batch=batch: made.test_on_batch(*batch),
            lambda made, batch=batch: made.predict_on_batch(batch[0]),
        )
        for name, batch in PLAIN.items()
    }


@pytest.mark.filterwarnings("ignore:.*doesn't know its length")
@pytest.mark.parametrize(
    ("form", "stream"),
    [
        ("task", "tf.data"),
        *(
            pytest.param(form, stream, marks=pytest.mark.slow)
            for form in FORMS
            for stream in STREAMS
            if (form, stream) != ("task", "tf.data")
        ),
    ],
)
def test_streams_of_any_form_train_evaluate_and_answer_as_arrays(expected, form, stream):
    make = STREAMS[stream]
    found = results(
        lambda made: made.fit(make(FORMS[form]), verbose=0),
        lambda made: made.evaluate(make(FORMS[form]), verbose=0),
        lambda made: made.predict(make(FORMS[form]), verbose=0),
    )
    wanted = expected["weighted" if form == "weighted task" else "unweighted"]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.slow
def test_a_task_of_arrays_is_a_batch_and_validates(expected):
    task = FORMS["weighted task"]
    found = results(
        lambda made: made.train_on_batch(task),
        lambda made: made.evaluate(task, verbose=0),
        lambda made: made.predict(task, verbose=0),
    )
    for one, other in zip(found, expected["weighted"], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    still = registry.LEARNERS["first_order_maml"].compiled(optimizer=keras.optimizers.SGD(0.0))
    for validation in (task, tf.data.Dataset.from_tensors(task), PLAIN["weighted"]):
        logs = still.fit(task, validation_data=validation, verbose=0).history
        assert logs["val_loss"] == pytest.approx(logs["loss"], rel=1e-6)


def test_a_set_in_place_of_a_batch_is_refused():
    made = learner()
    # A set is a tuple of three, as the inputs of a batch are.
    with pytest.raises(ValueError, match="Received: Examples"):
        made.meta_gradient(Examples(SX, SY, QX), QY)
