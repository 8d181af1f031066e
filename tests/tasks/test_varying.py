"""Tasks of varying ways and shots: what they hold, what their weights say, how they are drawn."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.keras_contract.eagerly import eagerly
from tests.tasks.test_episodes import COUNTS, numbered_pool, numbers, stream
from tfmeta.tasks import varying
from tfmeta.tasks.pool import Pool


def drawn(made, count=400):
    """(support (class, number), labels, weights, the same of queries) of a batch."""
    (support_x, support_y, query_x, support_w), query_y, query_w = next(iter(made.batch(count)))
    return (
        *(numbers(support_x), support_y.numpy(), support_w.numpy()),
        *(numbers(query_x), query_y.numpy(), query_w.numpy()),
    )


@pytest.fixture(scope="module")
def uneven():
    return drawn(stream(ways=(2, 4), shots=(1, 2), queries=2))


def test_ways_and_shots_are_uniform_and_each_class_has_as_many_of_each(uneven):
    _, support_y, support_w, _, query_y, query_w = uneven
    assert support_y.shape == (400, 8)
    assert query_y.shape == (400, 8)
    found = []
    for labels, weights, asked, query_weights in zip(
        support_y, support_w, query_y, query_w, strict=True
    ):
        count = np.bincount(labels[weights > 0])
        assert len(set(count)) == 1
        np.testing.assert_array_equal(np.bincount(asked[query_weights > 0]), [2] * len(count))
        found.append((len(count), count[0]))
    for column, choices in ((0, (2, 3, 4)), (1, (1, 2))):
        of_each = np.bincount(np.array(found)[:, column])[list(choices)]
        p = 1 / len(choices)
        assert of_each.sum() == 400
        assert np.abs(of_each - 400 * p).max() < 5 * np.sqrt(400 * p * (1 - p))
    # Filling is an example of the task too, of a class that it has.
    assert set(np.unique(support_w)) == {0.0, 1.0}


def test_no_example_comes_twice_and_labels_mean_one_class(uneven):
    support, support_y, support_w, query, query_y, query_w = uneven
    for task in range(400):
        here = np.concatenate([support[task][support_w[task] > 0], query[task][query_w[task] > 0]])
        assert len({tuple(example) for example in here}) == len(here)
        classes = dict(zip(support_y[task], support[task][:, 0], strict=True))
        assert len(set(classes.values())) == len(classes)
        assert [classes[label] for label in query_y[task]] == list(query[task][:, 0])
        # Filling comes last, which says that the order of the others is a shuffle of them alone.
        assert np.all(np.diff(support_w[task]) <= 0)


def test_one_task_drawn_alone_is_the_task_of_the_batch():
    made = stream(ways=(2, 4), shots="meta_dataset", queries=2)
    batch = next(iter(made.batch(5)))
    tf.nest.map_structure(
        lambda one, many: np.testing.assert_array_equal(one, many[3]), made.sample(3), batch
    )


def test_metadatasets_formulas_are_those_of_the_paper():
    """Against NumPy, from the same random numbers."""
    rng = np.random.default_rng(0)
    own = rng.integers(2, 300, size=(50, 8)).astype("int32")
    active = np.arange(8) < rng.integers(2, 9, size=(50, 1))
    words = {"shots": 1, "imbalance": 8}
    words = {n: rng.integers(-(2**31), 2**31, (50, k)).astype("int32") for n, k in words.items()}
    sizes = varying.sizes_of(own.ravel(), (2, 8), "meta_dataset", 10)
    shots, asked = varying._as_meta_dataset(
        sizes, tf.constant(own), tf.constant(active), lambda name, count: tf.constant(words[name])
    )
    unit = {n: (w.view("uint32") >> 8).astype("float64") * 2.0**-24 for n, w in words.items()}
    for task in range(50):
        n = own[task][active[task]].astype("float64")
        q = min(10, np.floor(0.5 * n).min())
        beta = 1 - unit["shots"][task, 0]
        size = min(500, np.ceil(beta * np.minimum(100, n - q)).sum())
        alpha = np.log(0.5) + (np.log(2) - np.log(0.5)) * unit["imbalance"][task][active[task]]
        share = np.exp(alpha) * n / (np.exp(alpha) * n).sum()
        k = np.minimum(np.floor(share * (size - len(n))) + 1, n - q)
        np.testing.assert_array_equal(shots[task].numpy()[active[task]], k)
        assert asked[task, 0] == q
    assert sizes.support == 500


def test_metadatasets_tasks_are_imbalanced_and_within_their_bounds():
    made = stream(ways=(2, 50), shots="meta_dataset", queries=3)
    assert made.info["ways"] == len(COUNTS)  # as many as there are
    support, support_y, support_w, _, query_y, query_w = drawn(made)
    counts, uneven_tasks, total = np.array(COUNTS), 0, []
    for task in range(400):
        shots = np.bincount(support_y[task][support_w[task] > 0])
        classes = [support[task][support_y[task] == k][0, 0] for k in range(len(shots))]
        queries = min(3, counts[classes].min() // 2)
        np.testing.assert_array_equal(
            np.bincount(query_y[task][query_w[task] > 0]), [queries] * len(shots)
        )
        assert np.all(shots >= 1)
        assert np.all(shots <= counts[classes] - queries)
        uneven_tasks += len(set(shots)) > 1
        total.append(shots.sum())
    assert uneven_tasks > 200
    assert max(total) <= made.info["support_examples"] == support_y.shape[1]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"ways": (3, 2)}, "ways must be a whole number of 3 or more. Received: 2"),
        ({"ways": (2, 3, 4)}, "ways must be a number, or the least and the most"),
        ({"shots": "meta"}, "shots must be a number, .least, most. or 'meta_dataset'"),
        ({"shots": (1, 4)}, "needs shots . queries = 4 . 3 examples"),
        ({"ways": (2, 7)}, "must not exceed the classes"),
        ({"shots": "meta_dataset", "queries": 0}, "queries must be a whole number of 1"),
        ({"shots": "meta_dataset", "ways": (7, 9)}, "must not exceed the classes"),
    ],
)
def test_sizes_that_cannot_be_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        stream(**options)


def test_a_class_of_one_example_is_refused_by_name():
    pool = numbered_pool()
    single = Pool(pool.images[:5], np.array([4, 1]), ("a", "lonely"))
    with pytest.raises(ValueError, match=r"shots . queries = 1 . 1 examples.*'lonely'"):
        stream(single, ways=(1, 2), shots="meta_dataset")


def test_a_learner_trains_on_them_in_one_trace_and_filling_counts_nowhere():
    made = tfmeta.tasks.glyphs("train", ways=(2, 4), shots=(1, 2), queries=2, image_size=8)
    keras.utils.set_random_seed(0)
    network = tfmeta.networks.nonconv(4, (8, 8, 1), hidden=(6,), dtype="float64")
    learner = tfmeta.ProtoMAML(network, inner_rate=0.1)
    learner.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y, weights = next(iter(made.batch(2)))
    assert (np.asarray(weights) == 0).any()
    gradient, _ = learner.meta_gradient(x, y, weights)
    # Each task by itself, without filling, by a network of as many outputs.
    expected = []
    for task in range(2):
        support, query = np.asarray(x[3][task]) > 0, np.asarray(weights[task]) > 0
        alone = (x[0][task][support], x[1][task][support], x[2][task][query])
        alone = tuple(part[tf.newaxis] for part in alone)
        with eagerly():
            expected.append(learner.meta_gradient(alone, y[task][query][tf.newaxis])[0])
    for found, parts in zip(gradient, zip(*expected, strict=True), strict=True):
        np.testing.assert_allclose(found, np.mean(parts, axis=0), rtol=1e-6, atol=1e-9)
    history = learner.fit(made.batch(2), steps_per_epoch=3, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
