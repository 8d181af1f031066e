"""Weights of queries, of tasks and of classes: in losses, metrics and meta-gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.keras_contract import stock
from tfmeta.learners.batch.errors import in_words
from tfmeta.learners.batch.task_weights import split_weights
from tfmeta.tasks.task import Examples, Task

T, S, Q = 3, 6, 5
RNG = np.random.default_rng(1)
LABELS, SUPPORT_LABELS = RNG.integers(0, 2, (T, Q)), RNG.integers(0, 2, (T, S))
CLASS_WEIGHT = {0: 1.0, 1: 5.0}
BY_CLASS = np.where(LABELS == 1, 5.0, 1.0).astype("float32")
SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
BINARY = keras.losses.BinaryCrossentropy(from_logits=True)
HOT = keras.losses.CategoricalCrossentropy(from_logits=True)


def tasks(labels=LABELS, support_labels=SUPPORT_LABELS):
    support, queries = stock.dense_tasks(T, S, Q)
    return (support, support_labels, queries), labels


def learner_of(loss=SPARSE, outputs=2, optimizer=None, cls=tfmeta.MAML, **options):
    if cls is tfmeta.MAML:
        options = {"first_order": True, **options}  # the tasks' mean has no order
    learner = cls(stock.dense_network(outputs), inner_rate=0.3, **options)
    learner.compile(optimizer or keras.optimizers.SGD(1.0), loss)
    return learner


@pytest.fixture(scope="module")
def single():
    """(losses [T], meta-gradients, one list a task) of unweighted single tasks."""
    learner = learner_of()
    (sx, sy, qx), qy = tasks()
    found = [
        learner.meta_gradient((sx[t : t + 1], sy[t : t + 1], qx[t : t + 1]), qy[t : t + 1])
        for t in range(T)
    ]
    losses = [float(SPARSE(qy[t], outputs[0])) for t, (_, outputs) in enumerate(found)]
    return np.array(losses), [gradients for gradients, _ in found]


@pytest.mark.parametrize("shape", [(T,), pytest.param((T, 1), marks=pytest.mark.slow)])
def test_a_weight_a_task_weights_the_mean_over_tasks(single, shape):
    losses, gradients = single
    weights = np.array([1.0, 0.0, 3.0], "float32")
    learner = learner_of()
    x, y = tasks()
    options = {"sample_weight": weights.reshape(shape), "verbose": 0}
    share = weights / weights.sum()
    expected = (share * losses).sum()
    assert learner.evaluate(x, y, batch_size=T, **options) == pytest.approx(expected, abs=1e-6)
    assert learner.evaluate(x, y, batch_size=2, **options) == pytest.approx(expected, abs=1e-6)
    found, _ = learner.meta_gradient(x, y, weights.reshape(shape))
    combined = [
        sum(s * g for s, g in zip(share, each, strict=True))
        for each in zip(*gradients, strict=True)
    ]
    assert stock.difference(found, combined) < 1e-6
    before = [v.numpy() for v in learner.network.trainable_variables]
    history = learner.fit(x, y, batch_size=T, **options).history
    assert history["loss"][0] == pytest.approx(expected, abs=1e-6)
    moved = [
        b - v.numpy() for b, v in zip(before, learner.network.trainable_variables, strict=True)
    ]
    assert stock.difference(moved, combined) < 1e-6


@pytest.mark.parametrize("wrong", [-1.0, np.nan])
def test_weights_that_are_no_share_are_refused_by_the_arguments_name(wrong):
    learner = learner_of(inner_steps=0)
    learner.compile("sgd", SPARSE, run_eagerly=True)
    (sx, sy, qx), y = tasks()
    support_weights, weights = np.ones((T, S), "float32"), np.ones((T, Q), "float32")
    support_weights[1, 2] = weights[1, 2] = wrong
    x, weighted = (sx, sy, qx), (sx, sy, qx, support_weights)
    stream = tf.data.Dataset.from_tensors((x, y, weights))
    for call in (
        lambda: learner.fit(x, y, sample_weight=weights, verbose=0),
        lambda: learner.evaluate(stream, verbose=0),
        lambda: learner.train_on_batch(x, y, weights[:, 2]),  # of tasks
        lambda: learner.adaptation_curve(x, sample_weight=weights),
    ):
        with pytest.raises(ValueError, match=r"^sample_weight must be finite numbers, 0 or more"):
            call()
    for call in (
        lambda: learner.predict(weighted, verbose=0),
        lambda: learner.evaluate(weighted, y, verbose=0),
    ):
        with pytest.raises(
            ValueError, match=r"^support_weights must be .* or more\..* to: \S+ \S+$"
        ):
            call()


def test_a_graph_and_xla_refuse_negative_weights_too():
    (sx, sy, qx), y = tasks()
    split = tf.function(
        lambda w: split_weights(Task(Examples(sx, sy), Examples(qx, y, w))), autograph=False
    )
    with pytest.raises(ValueError, match=r"^sample_weight must be .* from, to: -1 -1$"), in_words():
        split(tf.fill([T, Q], -1))
    learner = learner_of()
    learner.compile("sgd", SPARSE, jit_compile=True)
    with pytest.raises(ValueError, match=r"^support_weights must be"):
        learner.fit((sx, sy, qx, -np.ones((T, S))), y, verbose=0)


@pytest.mark.slow
def test_weights_of_tasks_and_of_queries_take_turns_in_one_learner(single):
    losses, _ = single
    learner = learner_of(optimizer=keras.optimizers.SGD(0.0))
    x, y = tasks()
    of_tasks = np.array([1.0, 0.0, 3.0], "float32")
    expected = (of_tasks * losses).sum() / of_tasks.sum()
    by_class = learner.evaluate(x, y, sample_weight=BY_CLASS, verbose=0)
    assert abs(by_class - losses.mean()) > 1e-3
    for weights, value in (
        (of_tasks[:, None], expected),
        (BY_CLASS, by_class),
        (of_tasks, expected),
        (None, losses.mean()),
        (BY_CLASS, by_class),
    ):
        found = learner.fit(x, y, batch_size=T, sample_weight=weights, verbose=0).history["loss"][0]
        assert found == pytest.approx(value, abs=1e-6)


@pytest.mark.slow
def test_queries_of_weight_0_are_absent_and_a_task_of_them_adds_nothing():
    x, y = tasks()
    weights = np.ones((T, Q), "float32")
    weights[:, 3:] = 0
    (sx, sy, qx), learner = x, learner_of()
    expected, _ = learner.meta_gradient((sx, sy, qx[:, :3]), y[:, :3])
    found, _ = learner.meta_gradient(x, y, weights)
    assert stock.difference(found, expected) < 1e-6


def some(names, *quick):
    """Names, all but a few of them slow."""
    return [pytest.param(n, marks=() if n in quick else pytest.mark.slow) for n in names]


STREAMS = {
    "arrays": lambda x, y: {"x": x, "y": y, "batch_size": T},
    "tf.data": lambda x, y: {"x": tf.data.Dataset.from_tensors((x, y))},
    "generator": lambda x, y: {"x": (batch for batch in [(x, y)])},
    "PyDataset": lambda x, y: {"x": _Batches(x, y)},
}


class _Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.batch = x, y

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.batch


@pytest.fixture(scope="module")
def weighted_step():
    """(loss, weights after one meta-step) with a weight a query by its class."""
    learner = learner_of()
    loss = learner.fit(*tasks(), batch_size=T, sample_weight=BY_CLASS, verbose=0).history["loss"]
    return loss[0], [v.numpy() for v in learner.network.trainable_variables]


@pytest.mark.usefixtures("further_cases_without_traces")
@pytest.mark.parametrize("kind", some(STREAMS, "arrays", "tf.data"))
def test_class_weights_are_weights_of_queries(weighted_step, kind):
    learner = learner_of()
    data = STREAMS[kind](*tasks())
    found = learner.fit(**data, class_weight=CLASS_WEIGHT, verbose=0).history["loss"][0]
    assert found == pytest.approx(weighted_step[0], abs=1e-6)
    now = [v.numpy() for v in learner.network.trainable_variables]
    assert stock.difference(now, weighted_step[1]) < 1e-6


FORMS = {
    "one-hot": (HOT, 2, np.eye(2, dtype="float32")[LABELS], np.eye(2)[SUPPORT_LABELS]),
    "binary": (BINARY, 1, LABELS.astype("float32"), SUPPORT_LABELS.astype("float32")),
    "binary column": (BINARY, 1, LABELS[..., None], SUPPORT_LABELS[..., None]),
    "sparse column": (SPARSE, 2, LABELS[..., None], SUPPORT_LABELS[..., None]),
}


@pytest.mark.usefixtures("further_cases_without_traces")
@pytest.mark.parametrize("form", some(FORMS))
def test_class_weights_know_labels_in_each_form(form):
    loss, outputs, labels, support_labels = FORMS[form]
    learner = learner_of(loss, outputs, keras.optimizers.SGD(0.0))
    x, y = tasks(labels, support_labels.astype("float32"))
    if form == "sparse column":
        x, y = tasks(labels, support_labels)
    plain = learner.train_on_batch(x, y)
    learner.reset_metrics()
    expected = learner.train_on_batch(x, y, sample_weight=BY_CLASS)
    learner.reset_metrics()
    found = learner.train_on_batch(x, y, class_weight=CLASS_WEIGHT)
    assert np.ravel(found)[0] == pytest.approx(np.ravel(expected)[0], abs=1e-6)
    assert abs(np.ravel(found)[0] - np.ravel(plain)[0]) > 1e-3


@pytest.mark.slow
def test_class_weights_leave_validation_tasks_alone():
    learner = learner_of(optimizer=keras.optimizers.SGD(0.0))
    x, y = tasks()
    history = learner.fit(
        x, y, batch_size=T, validation_split=0.34, class_weight=CLASS_WEIGHT, verbose=0
    ).history
    last = tuple(part[1:] for part in x)
    expected = learner.evaluate(last, y[1:], verbose=0)
    assert history["val_loss"][0] == pytest.approx(expected, abs=1e-6)
    first = learner.evaluate(
        tuple(part[:1] for part in x), y[:1], sample_weight=BY_CLASS[:1], verbose=0
    )
    assert history["loss"][0] == pytest.approx(first, abs=1e-6)


@pytest.mark.slow
def test_pixels_have_the_weights_of_their_classes():
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Conv2D(2, 1)])
    x = RNG.normal(size=(2, 3, 2, 2, 1)).astype("float32")
    y = RNG.integers(0, 2, (2, 3, 2, 2))
    learner = tfmeta.MAML(network, 0.1, inner_steps=0)
    learner.compile(keras.optimizers.SGD(0.0), SPARSE)
    found = learner.fit((x, y, x), y, class_weight=CLASS_WEIGHT, verbose=0).history["loss"][0]
    weights = np.where(y == 1, 5.0, 1.0)
    each = np.asarray(SPARSE.call(y, network(stock.flat(x)).numpy().reshape(*y.shape, 2)))
    axes = (1, 2, 3)
    expected = ((each * weights).sum(axes) / weights.sum(axes)).mean()
    assert found == pytest.approx(expected, abs=1e-6)
    elements = learner.evaluate((x, y, x), y, sample_weight=weights, verbose=0)
    assert elements == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"class_weight": [1.0, 5.0]}, "class_weight must be a dict"),
        ({"class_weight": {-1: 2.0}}, "class_weight must be a dict"),
        ({"class_weight": {0: -2.0}}, "finite weights, 0 or more"),
        ({"class_weight": CLASS_WEIGHT, "sample_weight": BY_CLASS}, "class_weight and sample"),
    ],
)
def test_class_weights_that_cannot_be_honoured_are_refused_by_name(options, words):
    learner = learner_of()
    for _ in range(2):
        with pytest.raises(ValueError, match=words):
            learner.fit(*tasks(), verbose=0, **options)


def test_a_learner_that_learns_from_no_query_refuses_class_weights():
    learner = learner_of(cls=tfmeta.Reptile)
    with pytest.raises(ValueError, match="class_weight weights queries, from which Reptile"):
        learner.fit(*tasks(), class_weight=CLASS_WEIGHT, verbose=0)


def test_loss_weights_scale_the_loss_and_its_inner_step_but_no_regulariser():
    (sx, sy, qx), qy = tasks()
    network = stock.dense_network(2, kernel_regularizer=keras.regularizers.L2(0.5))
    learner = tfmeta.MAML(network, 0.3, test_inner_steps=0)
    learner.compile("sgd", SPARSE, loss_weights=2.0)
    plain = np.mean([float(SPARSE(y, network(x))) for x, y in zip(qx, qy, strict=True)])
    expected = 2 * plain + float(network.losses[0])
    assert learner.evaluate((sx, sy, qx), qy, verbose=0) == pytest.approx(expected, abs=1e-6)
    network.compile("sgd", SPARSE, loss_weights=2.0)
    with tf.GradientTape() as tape:
        value = network.compute_loss(sx[0], sy[0], network(sx[0], training=True))
    gradients = tape.gradient(value, network.trainable_variables)
    steps = [v - 0.3 * g for v, g in zip(network.trainable_variables, gradients, strict=True)]
    found = [weight[0] for weight in learner.task_weights(sx, sy, 1)]
    assert stock.difference(found, steps) < 1e-6
    with pytest.raises(ValueError, match="loss_weights must be one number"):
        learner.compile("sgd", SPARSE, loss_weights={"head": 2.0})
