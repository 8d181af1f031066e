"""Losses, weights and metrics of every learner, on its own answers and in its meta-gradient."""

import keras
import numpy as np
import tensorflow as tf

import tfmeta
from tests.conformance import registry
from tests.keras_contract import stock
from tests.keras_contract.features import feature

TASKS = 2
CLASS_WEIGHT = {0: 1.0, 1: 4.0, 2: 0.5}
# As many of each query as a whole weight says.
TIMES = np.array([2, 1, 0, 1, 1])
# Learners whose queries have no part in training.
BY_DISPLACEMENT = (tfmeta.Reptile, tfmeta.GradientCombination)
K = keras.losses
HOT = K.CategoricalCrossentropy(from_logits=True)


def labelled(entry):
    """A batch of labelled tasks for evaluation."""
    return registry.batch("classification", TASKS)


def by_samplers(said):
    """Refused by learners that sample, which descend a likelihood."""
    return lambda entry: said if entry.samples else None


class Answers(keras.metrics.Metric):
    """Keeps what `evaluate` passes to metrics of a batch: the answers whose loss it measures."""

    def __init__(self):
        super().__init__(name="answers", dtype="float64")
        shape = (TASKS * registry.QUERIES, registry.OUTPUTS)
        self.seen = self.add_variable(shape=shape, initializer="zeros", name="seen")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.seen.assign(y_pred)

    def result(self):
        return keras.ops.zeros(())

    def of_tasks(self):
        return np.reshape(self.seen, (TASKS, registry.QUERIES, registry.OUTPUTS))


def learner_of(entry, loss, settings=None, **fit):
    """A compiled learner, which runs eagerly where `tf.function`s do."""
    learner = entry(registry.network(), **(settings or {}))
    eagerly = tf.config.functions_run_eagerly()
    learner.compile(keras.optimizers.SGD(1.0), loss, run_eagerly=eagerly, **fit)
    return learner


def whole_sets(entry):
    """Settings without inner minibatches, whose draw depends on the number of examples."""
    return {"batch_size": None} if "batch_size" in entry.settings else {}


def one_hot(data):
    (sx, sy, qx), qy = data
    eye = np.eye(registry.OUTPUTS)
    return (sx, eye[sy], qx), eye[qy]


def evaluated(entry, loss, data):
    """(the learner's loss, the mean over tasks of Keras' loss of the learner's answers)."""
    answers = Answers()
    learner = learner_of(entry, loss, metrics=[answers])
    x, y = data
    found = learner.test_on_batch(x, y)[0]
    return found, mean_loss(loss, y, answers.of_tasks())


def mean_loss(loss, y, answers):
    return np.mean([keras_loss(loss, *pair) for pair in zip(y, answers, strict=True)])


def answers_of(learner, x):
    return np.array(learner.predict_on_batch(x))


def evaluated_answers(entry, learner, x):
    """The answers of an evaluation: `predict`'s, but for a learner whose adaptation is random.

    `predict` draws for every task what it draws for task 0, an evaluation by the task's index.
    """
    if not entry.random:
        return learner.predict(x, verbose=0)
    return np.array(learner.adaptation_curve(x)[0][:, -1])


def keras_loss(loss, targets, outputs):
    loss = K.get(loss)
    if not isinstance(loss, K.Loss):
        loss = stock.WRAPPER(loss)
    return float(loss(tf.constant(targets), tf.constant(outputs)))


def gradient(learner, data, weights=None):
    return [g.numpy() for g in learner.meta_gradient(*data, sample_weight=weights)[0]]


SPARSE = K.SparseCategoricalCrossentropy(from_logits=True)


@feature("loss: by class")
def by_class(entry):
    x, y = labelled(entry)
    learner = learner_of(entry, SPARSE)
    found = learner.evaluate(x, y, batch_size=TASKS, verbose=0)
    return found, mean_loss(SPARSE, y, evaluated_answers(entry, learner, x))


@feature("loss: wrapped function")
def wrapped(entry):
    loss = stock.WRAPPER(K.sparse_categorical_crossentropy, from_logits=True)
    return evaluated(entry, loss, labelled(entry))


@feature("loss: by name", applies=lambda entry: not entry.classifies)
def by_name(entry):
    return evaluated(entry, "mean_squared_error", registry.batch("regression", TASKS))


@feature(
    "loss: sum",
    applies=lambda entry: not entry.classifies,
    refuses=by_samplers("reduction=.sum"),
)
def summed(entry):
    loss = K.MeanSquaredError(reduction="sum")
    return evaluated(entry, loss, registry.batch("regression", TASKS))


@feature(
    "loss: own function",
    applies=lambda entry: not entry.classifies,
    refuses=by_samplers("needs a loss that is a likelihood.*cubic"),
)
def own_function(entry):
    def cubic(y_true, y_pred):
        return keras.ops.mean(keras.ops.abs(y_true - y_pred) ** 3, axis=-1)

    return evaluated(entry, cubic, registry.batch("regression", TASKS))


@feature("loss: label smoothing", refuses=by_samplers("label_smoothing=0.2"))
def smoothed(entry):
    loss = K.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)
    return evaluated(entry, loss, one_hot(labelled(entry)))


@feature("loss: focal", refuses=by_samplers("needs a loss that is a likelihood"))
def focal(entry):
    loss = K.CategoricalFocalCrossentropy(from_logits=True)
    return evaluated(entry, loss, one_hot(labelled(entry)))


@feature("loss: ignored class")
def ignored(entry):
    (sx, sy, qx), qy = labelled(entry)
    qy = np.where(np.arange(qy.shape[1]) == 1, 255, qy)
    loss = K.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    return evaluated(entry, loss, ((sx, sy, qx), qy))


@feature("loss: ignored support examples")
def ignored_support(entry):
    """An ignored support example adapts nothing: as the support set without it."""
    (sx, sy, qx), _ = labelled(entry)
    loss = K.SparseCategoricalCrossentropy(from_logits=True, ignore_class=7)
    last = np.arange(sy.shape[1]) == sy.shape[1] - 1
    settings = whole_sets(entry)
    found = answers_of(learner_of(entry, loss, settings), (sx, np.where(last, 7, sy), qx))
    return found, answers_of(learner_of(entry, loss, settings), (sx[:, :-1], sy[:, :-1], qx))


@feature("weights: queries, in the loss")
def query_weights(entry):
    x, y = labelled(entry)
    answers = Answers()
    learner = learner_of(entry, SPARSE, metrics=[answers])
    weights = np.random.default_rng(2).uniform(0.5, 2.0, y.shape)
    found = learner.test_on_batch(x, y, sample_weight=weights)[0]
    each = np.asarray(SPARSE.call(tf.constant(y), tf.constant(answers.of_tasks())))
    return found, ((each * weights).sum(1) / weights.sum(1)).mean()


@feature("weights: queries, in the meta-gradient", tolerance=1e-8)
def query_weights_gradient(entry):
    """Queries of whole weights count as so many queries, and those of weight 0 as none."""
    (sx, sy, qx), qy = entry.batch("classification", TASKS)
    weights = np.repeat(TIMES[None].astype("float64"), TASKS, axis=0)
    learner = learner_of(entry, SPARSE)
    found = gradient(learner, ((sx, sy, qx), qy), weights)
    repeated = ((sx, sy, np.repeat(qx, TIMES, axis=1)), np.repeat(qy, TIMES, axis=1))
    return found, gradient(learner, repeated)


@feature("weights: support, in the meta-gradient", tolerance=1e-8)
def support_weights_gradient(entry):
    (sx, sy, qx), qy = entry.batch("classification", TASKS)
    times = np.array([2, 1, 1, 1, 1, 0])
    learner = learner_of(entry, SPARSE, whole_sets(entry))
    weights = np.repeat(times[None].astype("float64"), TASKS, axis=0)
    found = gradient(learner, ((sx, sy, qx, weights), qy))
    repeated = ((np.repeat(sx, times, axis=1), np.repeat(sy, times, axis=1), qx), qy)
    return found, gradient(learner, repeated)


@feature("weights: tasks, in the meta-gradient", tolerance=1e-8)
def task_weights_gradient(entry):
    data = entry.batch("classification", 3)
    learner = learner_of(entry, SPARSE)
    weights = np.array([1.0, 0.0, 3.0])
    found = gradient(learner, data, weights)
    single = [gradient(learner, data, np.eye(3)[task]) for task in (0, 2)]
    return found, [0.25 * a + 0.75 * b for a, b in zip(*single, strict=True)]


@feature(
    "weights: classes, in the step of fit",
    refuses=lambda entry: "does not learn" if issubclass(entry.cls, BY_DISPLACEMENT) else None,
    tolerance=1e-8,
)
def class_weights(entry):
    """A step by class weights is the step by the weights of queries that they stand for."""
    x, y = entry.batch("classification", TASKS)
    by_class = np.vectorize(lambda label: CLASS_WEIGHT.get(int(label), 1.0))(y)
    steps = []
    for weights in ({"class_weight": CLASS_WEIGHT}, {"sample_weight": by_class}):
        learner = learner_of(entry, SPARSE)
        learner.fit(x, y, batch_size=TASKS, verbose=0, **weights)
        steps.append([np.array(v) for v in learner.parameter_variables])
    return steps


@feature("weights: loss_weights", refuses=by_samplers("loss_weights=2.0"))
def loss_weights(entry):
    x, y = labelled(entry)
    settings = {"test_inner_steps": 0} if entry.gradient_steps else {}
    twice, once = (learner_of(entry, SPARSE, settings, loss_weights=w) for w in (2.0, None))
    return (
        twice.evaluate(x, y, batch_size=TASKS, verbose=0),
        2 * once.evaluate(x, y, batch_size=TASKS, verbose=0),
    )


@feature("metrics: accuracy, F1, AUC of all queries")
def metrics(entry):
    def make():
        return ["accuracy", keras.metrics.F1Score(), keras.metrics.AUC(from_logits=True)]

    (sx, sy, qx), qy = one_hot(labelled(entry))
    learner = learner_of(entry, HOT, metrics=make())
    found = learner.evaluate((sx, sy, qx), qy, batch_size=1, verbose=0)[1:]
    answers = evaluated_answers(entry, learner, (sx, sy, qx))
    kept = keras.Sequential([keras.Input((registry.OUTPUTS,)), keras.layers.Identity()])
    expected = stock.metrics_of(kept, make(), stock.flat(answers), stock.flat(qy))
    return list(found), list(expected.values())


@feature("metrics: weighted")
def weighted_metrics(entry):
    x, y = labelled(entry)
    learner = learner_of(entry, SPARSE, weighted_metrics=["accuracy"])
    weights = np.random.default_rng(2).uniform(0.5, 2.0, y.shape)
    found = learner.evaluate(x, y, batch_size=1, sample_weight=weights, verbose=0)[1]
    answers = evaluated_answers(entry, learner, x)
    right = answers.argmax(-1) == y
    return found, (right * weights).sum() / weights.sum()
