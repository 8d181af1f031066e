"""A wrong batch gets the same sentence on every call, and right ones stay right in any order."""

import traceback

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tfmeta.learners.keras_model import execution

T, S, Q = 4, 6, 5
RNG = np.random.default_rng(0)
SX = RNG.normal(size=(T, S, 3)).astype("float32")
QX = RNG.normal(size=(T, Q, 3)).astype("float32")
SY, QY = RNG.integers(0, 2, (T, S)), RNG.integers(0, 2, (T, Q))
SUPPORT_SUMS, QUERY_SUMS = SX.sum(-1), QX.sum(-1)
QUIET = {"verbose": 0, "batch_size": T}


def learner_of(outputs, loss, **options):
    keras.utils.set_random_seed(1)
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(outputs, name="head")])
    learner = tfmeta.MAML(network, inner_rate=0.1)
    learner.compile(keras.optimizers.SGD(0.0), loss, **options)
    return learner


@pytest.fixture(scope="module")
def classifier():
    return learner_of(2, keras.losses.SparseCategoricalCrossentropy(from_logits=True))


@pytest.fixture(scope="module")
def eager():
    """A classifier that is never traced, for what is refused before any task is computed."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return learner_of(2, loss, run_eagerly=True)


@pytest.fixture(scope="module")
def regressor():
    return learner_of(1, "mse")


def batches_of_lengths(*lengths):
    """A stream of one task a batch, whose support targets have other lengths than its inputs."""
    spec = (
        (tf.TensorSpec((None, 3)), tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, 3))),
        tf.TensorSpec((None,), tf.int32),
    )

    def tasks():
        for length in lengths:
            yield (SX[0], SY[0][:length], QX[0]), QY[0]

    return tf.data.Dataset.from_generator(tasks, output_signature=spec).apply(
        tf.data.experimental.assert_cardinality(len(lengths))
    )


def generator(*lengths):
    for length in lengths:
        yield (SX, SY[:, :length], QX), QY


class Sequence(keras.utils.PyDataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        return next(generator(4 if index == 4 else S))


FIT_REFUSALS = [
    ("support_y of another length", lambda: ((SX, SY[:, :4], QX), QY), "support_x and support_y"),
    ("query_y of another length", lambda: ((SX, SY, QX), QY[:, :3]), "query_x and query_y"),
    ("one-hot labels", lambda: ((SX, np.eye(2)[SY], QX), np.eye(2)[QY]), "Sparse losses take int"),
    ("labels too large", lambda: ((SX, SY + 7, QX), QY), r"from 0 to 1.* from, to: 7 8$"),
    ("one task", lambda: ((SX[0], SY[0], QX[0]), QY[0]), r"one task.*support_x\[np.newaxis\]"),
    ("text", lambda: ((SX, np.array(["a", "b"])[SY], QX), QY), "text. Number the classes"),
    ("other features", lambda: ((SX[..., :2], SY, QX), QY), r"\[tasks, examples, 3\]"),
    ("no shots", lambda: ((SX[:, :0], SY[:, :0], QX), QY), "must hold an example"),
    ("fewer tasks", lambda: ((SX, SY, QX[:2]), QY[:2]), "as many tasks as each other"),
    ("plain Keras data", lambda: (SX[0], SY[0]), r"\(support_x, support_y, query_x\)"),
    ("not finite", lambda: ((SX * np.nan, SY, QX), QY), "not finite"),
    ("a stream", lambda: (batches_of_lengths(S, 4).batch(1),), "support_x and support_y"),
    ("an empty set", lambda: (batches_of_lengths(S, 0).batch(1),), "support_x and support_y"),
    ("tasks that differ", lambda: (batches_of_lengths(S, 4).batch(2),), "Use `.batch\\(1\\)`"),
    ("a generator", lambda: (generator(*[S] * 5, 4),), "shapes of its first batches"),
    ("a generator from the start", lambda: (generator(4),), "support_x and support_y"),
    ("a PyDataset", lambda: (Sequence(),), "shapes of its first batches"),
]


@pytest.mark.usefixtures("real_stacks")
def test_fit_refuses_in_the_same_short_sentence_before_and_after_a_good_fit(classifier):
    def fit(*data):
        batch_size = {"batch_size": T} if len(data) == 2 else {"steps_per_epoch": 6}
        return classifier.fit(*data, verbose=0, **batch_size).history["loss"][0]

    said = []
    for _ in range(2):
        for name, data, sentence in FIT_REFUSALS:
            with pytest.raises(ValueError, match=sentence) as error:
                fit(*data())
            lines = traceback.format_exception(error.value)
            assert len("".join(lines).splitlines()) < 60, name
            said.append(str(error.value).split("Step:")[0])
        assert np.isfinite(fit((SX, SY, QX), QY))
    assert said[: len(FIT_REFUSALS)] == said[len(FIT_REFUSALS) :]


def test_other_calls_refuse_alike(classifier):
    calls = {
        "evaluate": lambda x, y: classifier.evaluate(x, y, **QUIET),
        "predict": lambda x, y: classifier.predict(x, **QUIET),
        "train_on_batch": classifier.train_on_batch,
        "test_on_batch": classifier.test_on_batch,
        "predict_on_batch": lambda x, y: classifier.predict_on_batch(x),
        "meta_gradient": classifier.meta_gradient,
        "task_weights": lambda x, y: classifier.task_weights(*x[:2]),
        "adaptation_curve": lambda x, y: classifier.adaptation_curve(x),
    }
    for name, call in calls.items():
        for _ in range(2):
            for wrong, sentence in (
                ((SX, SY[:, :4], QX), "support_x and support_y must hold as many tasks"),
                ((SX[0], SY[0], QX[0]), "Tasks come in batches"),
                ((SX, SY + 7, QX), "support_y must be from 0 to 1"),
            ):
                with pytest.raises(ValueError, match=sentence):
                    call(wrong, QY)
            assert call((SX, SY, QX), QY) is not None, name


def test_right_calls_stay_right_in_any_order_of_ranks_types_and_sizes(regressor):
    x, y = SX[0], SUPPORT_SUMS[0]
    expected = regressor.adapt(x, y).predict(QX[0], verbose=0)
    for targets in (y[:, None], y, y.tolist(), y.astype("float64"), y[:, None].tolist()):
        np.testing.assert_allclose(
            regressor.adapt(x, targets).predict(QX[0], verbose=0), expected, rtol=1e-5
        )
    for size in (3, 2):
        few = [regressor.adapt(x[:size], each[:size]) for each in (y, y[:, None], y)]
        answers = [model.predict(QX[0], verbose=0) for model in few]
        np.testing.assert_allclose(answers[1:], answers[:1] * 2, rtol=1e-5)
    whole = ((SX, SUPPORT_SUMS, QX), QUERY_SUMS)
    column = ((SX, SUPPORT_SUMS[..., None], QX), QUERY_SUMS[..., None])
    losses = [regressor.evaluate(*data, **QUIET) for data in (whole, column, whole)]
    losses += [regressor.fit(*data, **QUIET).history["loss"][0] for data in (column, whole)]
    losses.append(regressor.train_on_batch(*(tf.nest.map_structure(np.ndarray.tolist, whole))))
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)


def test_labels_of_any_type_of_number_mean_the_same(classifier):
    def answers(kind):
        return [
            classifier.evaluate((SX, SY.astype(kind), QX), QY.astype(kind), **QUIET),
            classifier.adapt(SX[0], SY[0].astype(kind))(QX[0]).numpy().sum(),
        ]

    expected = answers("int32")
    for kind in ("int64", "float32", "bool", "uint8"):
        np.testing.assert_allclose(answers(kind), expected, rtol=1e-6, err_msg=kind)


def test_adapt_refuses_a_batch_with_advice_that_fits(classifier):
    with pytest.raises(ValueError, match=r"batch of 4 tasks.*learner.adapt\(support_x\[0\]"):
        classifier.adapt(SX, SY)
    with pytest.raises(ValueError, match=r"one array of numbers.*non-rectangular"):
        classifier.adapt([[1.0, 2.0, 3.0], [1.0]], [0, 1])


def test_xla_checks_labels_although_it_drops_assertions():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner = learner_of(2, loss, jit_compile=True)
    stream = tf.data.Dataset.from_tensors(((SX, SY + 7, QX), QY))
    for call in (
        lambda: learner.fit(stream, verbose=0),
        lambda: learner.fit((SX, SY + 7, QX), QY, **QUIET),
        lambda: learner.task_weights(SX, SY + 7),
    ):
        with pytest.raises(ValueError, match="from 0 to 1"):
            call()


def test_a_stream_without_an_end_is_refused_and_one_of_unknown_length_told(classifier):
    endless = tf.data.Dataset.from_tensors(((SX, SY, QX), QY)).repeat()
    for call, argument in (
        (classifier.fit, "steps_per_epoch"),
        (classifier.evaluate, "steps"),
        (classifier.predict, "steps"),
    ):
        with pytest.raises(ValueError, match=f"endless stream.*`{argument}`"):
            call(endless)
    with pytest.warns(UserWarning, match="doesn't know its length.*`steps_per_epoch=`"):
        classifier.fit(generator(S, S), verbose=0)


def nothing():
    """An empty stream that does not know its length."""
    tasks = tf.data.Dataset.from_tensors(((SX, SY, QX), QY))
    return tasks.filter(lambda x, y: tf.constant(False))


@pytest.mark.filterwarnings("ignore:.*doesn't know its length", "ignore:.*ran out of data")
def test_an_empty_stream_is_refused_whether_or_not_it_knows_its_length(eager):
    known = tf.data.Dataset.from_tensors(((SX, SY, QX), QY)).take(0)
    for call in (eager.fit, eager.evaluate, eager.predict):
        with pytest.raises(ValueError, match=r"one batch\. Received: an empty stream"):
            call(known, verbose=0)
    for call in (
        lambda: eager.evaluate(nothing(), verbose=0),
        lambda: eager.predict(nothing().map(lambda x, y: (x,)), verbose=0),
        lambda: eager.fit((SX, SY, QX), QY, validation_data=known, **QUIET),
    ):
        with pytest.raises(ValueError, match=r"one batch\. Received: an empty stream"):
            call()


def test_a_batch_without_a_task_and_a_set_to_measure_without_a_query_are_refused(eager):
    none, no_queries = ((SX[:0], SY[:0], QX[:0]), QY[:0]), ((SX, SY, QX[:, :0]), QY[:, :0])
    for call in (
        lambda x, y: eager.fit(x, y, verbose=0),
        lambda x, y: eager.evaluate(x, y, verbose=0),
        eager.meta_gradient,
        eager.test_on_batch,
    ):
        with pytest.raises(ValueError, match=r"must hold a task\. Received: .*\(0, 6\)"):
            call(*none)
        with pytest.raises(ValueError, match=r"must hold a query .* 0\)\.$"):
            call(*no_queries)
    with pytest.raises(ValueError, match="must hold a task"):
        eager.predict(none[0], verbose=0)


def test_an_evaluation_says_that_the_learner_diverged():
    learner = learner_of(1, "mse")
    learner.network.set_weights([w * np.nan for w in learner.network.get_weights()])
    with pytest.warns(UserWarning, match=r"2 of the 2 .*head/kernel.*diverged in training"):
        learner.evaluate((SX, SUPPORT_SUMS, QX), QUERY_SUMS, **QUIET)


def test_an_unknown_argument_gets_the_nearest_name():
    network = learner_of(1, "mse").network
    for make, name in (
        (lambda: tfmeta.MAML(network, inner_lr=0.1), "inner_rate="),
        (lambda: tfmeta.Reptile(network, num_inner_steps=3), "inner_steps="),
        (lambda: tfmeta.MetaSGD(network, first_ordr=True), "first_order="),
    ):
        with pytest.raises(TypeError, match=f"Did you mean {name}"):
            make()


def test_fit_says_once_in_one_line_what_threads_cost(classifier, caplog, monkeypatch):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr("tensorflow.config.list_logical_devices", lambda kind: [])
    monkeypatch.setattr("tensorflow.config.threading.get_intra_op_parallelism_threads", lambda: 0)
    execution._say.cache_clear()
    stream = tf.data.Dataset.from_tensors(((SX, SY, QX), QY))
    execution.advise(classifier, stream)
    execution.advise(classifier, (SX, SY, QX))
    (record,) = caplog.records
    assert "TF_NUM_INTRAOP_THREADS=1" in record.getMessage()
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize("kind", [list, dict])
def test_a_dict_of_inputs_is_taken_by_its_names(kind):
    first, second = keras.Input((3,), name="z"), keras.Input((1,), name="a")
    outputs = keras.layers.Dense(3)(keras.layers.Concatenate()([first, second]))
    inputs = [first, second] if kind is list else {"z": first, "a": second}
    learner = tfmeta.MAML(keras.Model(inputs, outputs), 0.0)
    learner.compile(loss="mse", run_eagerly=True)
    z = np.random.default_rng(0).normal(size=(1, 4, 3)).astype("float32")
    y, named, misnamed = z, {"a": z[..., :1], "z": z}, {"a": z[..., :1], "b": z}
    stock = learner.network({name: value[0] for name, value in named.items()}).numpy()
    answers = learner.predict_on_batch((named, y, named))
    np.testing.assert_allclose(answers[0], stock, atol=1e-6)
    adapted = learner.adapt({name: value[0] for name, value in named.items()}, y[0])
    for name, call in (
        ("support", lambda: learner.predict_on_batch((misnamed, y, named))),
        ("query", lambda: learner.predict_on_batch((named, y, misnamed))),
        ("support", lambda: learner.adapt({"a": z[0, :, :1], "b": z[0]}, y[0])),
        ("query", lambda: adapted.predict({"a": z[0, :, :1], "b": z[0]}, verbose=0)),
    ):
        with pytest.raises(ValueError, match=rf"{name}_x must have the network's .* Received: a, "):
            call()
