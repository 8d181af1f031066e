"""Tasks from sets of different sizes: filling counts nowhere, and whole sets are held out."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.keras_contract.eagerly import eagerly
from tfmeta.tasks import from_tasks

SIZES = (6, 9, 12, 30)


def sets(sizes=SIZES, inputs=2):
    """Inputs say set and row; the target is their sum."""
    made = []
    for number, rows in enumerate(sizes):
        x = np.stack([np.full(rows, number), np.arange(rows)], axis=1)[:, :inputs]
        made.append((x.astype("float32"), x.sum(axis=1, keepdims=True).astype("float32")))
    return made


def test_a_task_is_one_set_whose_rows_come_once():
    stream = from_tasks(sets(), shots=5, queries=10, seed=1)
    (support_x, support_y, query_x, support_w), query_y, query_w = next(iter(stream.batch(8)))
    assert (support_x.shape, query_x.shape) == ((8, 5, 2), (8, 10, 2))
    for task in range(8):
        number = int(support_x[task, 0, 0])
        real = query_w[task].numpy() > 0
        rows = np.concatenate([support_x[task, :, 1], query_x[task][real][:, 1]])
        assert len(set(rows)) == len(rows) == min(15, SIZES[number])
        assert (support_w[task].numpy() == 1).all()
        assert (query_x[task, :, 0].numpy() == number).all()  # filling is of the set too
        for x, y in ((support_x[task], support_y[task]), (query_x[task], query_y[task])):
            np.testing.assert_array_equal(y[:, 0], tf.reduce_sum(x, axis=1))


def test_every_set_comes_once_a_round_and_tasks_do_not_depend_on_their_batch():
    stream = from_tasks(sets(), shots=(1, 4), queries=6, seed=3)
    whole = next(iter(stream.batch(12)))
    visited = whole[0][0][:, 0, 0].numpy().reshape(3, 4)
    assert (np.sort(visited, axis=1) == np.arange(4)).all()
    assert len({tuple(order) for order in visited}) > 1
    later = next(iter(from_tasks(sets(), shots=(1, 4), queries=6, seed=3, start=5).batch(4)))
    for a, b, c in zip(*map(tf.nest.flatten, (whole, later, stream.sample(7))), strict=True):
        np.testing.assert_array_equal(a[5:9], b)
        np.testing.assert_array_equal(a[7], c)


def test_sizes_of_support_sets_are_drawn_from_the_range_that_a_set_allows():
    stream = from_tasks(sets((3, 30)), shots=(1, 4), seed=0)
    (support_x, _, _, support_w), _, query_w = next(iter(stream.batch(400)))
    sizes, own = support_w.numpy().sum(axis=1), support_x[:, 0, 0].numpy()
    counts = {n: np.bincount(sizes[own == n].astype(int), minlength=5)[1:] for n in (0, 1)}
    assert (counts[0][:2] > 70).all()
    assert counts[0][2:].sum() == 0
    assert (counts[1] > 30).all()
    # All that the support set leaves is asked for.
    np.testing.assert_array_equal(sizes + query_w.numpy().sum(axis=1), np.where(own, 30, 3))


def test_sets_that_are_large_enough_need_no_weights():
    stream = from_tasks(sets(), shots=2, queries=4)
    (support_x, _, query_x), query_y = stream.sample(0)
    assert (support_x.shape, query_x.shape, query_y.shape) == ((2, 2), (4, 2), (4, 1))


def test_whole_sets_are_held_out():
    seen = {}
    for split in ("train", "validation", "test"):
        stream = from_tasks(sets((5,) * 10), split, shots=2, queries=3)
        seen[split] = set(next(iter(stream.batch(20)))[0][0].numpy()[..., 0].ravel())
        assert {float(n) for n in stream.info["set_names"]} == seen[split]
    assert [len(each) for each in seen.values()] == [6, 2, 2]
    assert len(set.union(*seen.values())) == 10


def test_inputs_may_be_a_dict_of_any_types():
    made = [({"a": np.arange(n), "b": ["text"] * n}, np.zeros(n, int)) for n in (4, 5)]
    stream = from_tasks(made, shots=2, queries=2)
    (support_x, support_y, _), _ = stream.sample(0)
    assert {key: value.dtype.name for key, value in support_x.items()} == {
        "a": "int64",
        "b": "string",
    }
    assert (support_y.dtype.name, stream.info["kind"]) == ("int64", "classification")


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        (sets(), {"shots": 6}, r"besides 6 .* set '0' of tasks with 6 .*\(1 of 4 sets"),
        (sets(), {"shots": 7, "names": list("abcd")}, "set 'a' of tasks with 6"),
        (sets(), {"shots": (3, 2)}, "shots must be a whole number of 3 or more"),
        (sets(), {"split": "dev"}, "'train', 'validation', 'test', 'all'"),
        ([], {}, "0 pairs"),
        ([*sets(), sets(inputs=1)[0]], {}, r"set '4' with x float32 \[1\]"),
        ([np.zeros((5, 2))], {}, r"pair \(x, y\)\. Received: ndarray for tasks '0'"),
        ([(np.zeros((5, 2)), np.zeros(4))], {}, r"tasks '0' with \[4, 5\] examples"),
        ([(np.full((5, 2), np.nan), np.zeros(5))], {}, "x of tasks '0' must hold finite numbers"),
        ([(np.full((5, 2), 1e39), np.zeros(5))], {}, "x of tasks '0' must .* float32 can hold"),
        ([(np.zeros((5, 2)), [0, 1, None, 1, 0])], {}, "y of tasks '0' must be an array"),
    ],
)
def test_sets_that_do_not_fit_are_refused_by_name(made, options, message):
    with pytest.raises(ValueError, match=message):
        from_tasks(made, **({"shots": 2} | options))


def test_filling_counts_in_no_loss_gradient_or_statistics():
    """A batch with filling gives the mean of its tasks, each without filling."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((2,))
    x = keras.layers.Dense(5, name="first")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    network = keras.Model(inputs, keras.layers.Dense(1, name="head")(keras.ops.tanh(x)))
    learner = tfmeta.MAML(network, inner_rate=0.05, inner_steps=1)
    learner.compile(keras.optimizers.SGD(0.0), "mse")
    generator = np.random.default_rng(0)
    made = [(generator.normal(size=(n, 2)), generator.normal(size=(n, 1))) for n in (4, 6, 9)]
    batch = next(iter(from_tasks(made, shots=(1, 3), queries=7, seed=2).batch(3)))
    assert (batch[0][3].numpy() == 0).any()
    gradients, losses = [], []
    for task in range(3):
        (support_x, support_y, query_x, support_w), query_y, query_w = tf.nest.map_structure(
            lambda tensor, task=task: tensor[task], batch
        )
        support, query = support_w > 0, query_w > 0
        alone = (support_x[support], support_y[support], query_x[query])
        alone = tuple(part[tf.newaxis] for part in alone)
        with eagerly():
            gradients.append(learner.meta_gradient(alone, query_y[query][tf.newaxis])[0])
            losses.append(learner.evaluate(alone, query_y[query][tf.newaxis], verbose=0))
    together, _ = learner.meta_gradient(*batch)
    for whole, *parts in zip(together, *gradients, strict=True):
        np.testing.assert_allclose(whole, np.mean(parts, axis=0), rtol=1e-4, atol=1e-5)
    stream = tf.data.Dataset.from_tensors(batch)
    np.testing.assert_allclose(learner.evaluate(stream, verbose=0), np.mean(losses), rtol=1e-5)
    fitted = learner.fit(stream, verbose=0).history["loss"]
    np.testing.assert_allclose(fitted, np.mean(losses), rtol=1e-5)
