"""Few-shot classification tasks: which images and labels they hold."""

import numpy as np
import pytest

from tfmeta.tasks import episodes
from tfmeta.tasks.episodes import classification_stream
from tfmeta.tasks.pool import Pool

COUNTS = [4, 7, 5, 6, 4, 9]


def numbered_pool():
    """Images of 1 x 1 x 2 that say their class and their number in it."""
    images = [(label, k) for label, count in enumerate(COUNTS) for k in range(count)]
    images = np.asarray(images, np.uint8).reshape(-1, 1, 1, 2)
    return Pool(images, np.asarray(COUNTS), tuple("abcdef"))


def stream(pool=None, **options):
    settings = {"ways": 3, "shots": 1, "queries": 3, "seed": 0, "count": 600, "start": 0}
    settings |= {"name": "numbers", "split": "train"} | options
    return classification_stream(pool or numbered_pool(), **settings)


def numbers(images):
    """(class, number) of each image, from floats in [0, 1]."""
    return np.rint(images.numpy() * 255).astype(int).reshape(*images.shape[:-3], 2)


@pytest.fixture(scope="module")
def tasks():
    (support_x, support_y, query_x), query_y = next(iter(stream().batch(600)))
    return numbers(support_x), support_y.numpy(), numbers(query_x), query_y.numpy()


def test_support_and_query_share_no_image_and_none_comes_twice(tasks):
    support, _, query, _ = tasks
    for task in np.concatenate([support, query], axis=1):
        assert len({tuple(image) for image in task}) == 3 * (1 + 3)


def test_an_image_is_only_in_its_own_class(tasks):
    support, _, query, _ = tasks
    for label, number in np.concatenate([support, query], axis=1).reshape(-1, 2):
        assert number < COUNTS[label]


def test_a_label_means_one_class_in_support_and_query(tasks):
    for support, support_y, query, query_y in zip(*tasks, strict=True):
        classes = dict(zip(support_y, support[:, 0], strict=True))
        assert sorted(classes) == [0, 1, 2]
        assert len(set(classes.values())) == 3
        assert [classes[label] for label in query_y] == list(query[:, 0])


def test_every_label_has_its_shots_and_queries(tasks):
    _, support_y, _, query_y = tasks
    for labels in np.sort(query_y):
        np.testing.assert_array_equal(labels, np.repeat([0, 1, 2], 3))
    for labels in np.sort(support_y):
        np.testing.assert_array_equal(labels, [0, 1, 2])


def test_classes_labels_positions_and_images_are_uniform(tasks):
    support, support_y, query, query_y = tasks
    # 600 tasks; five standard deviations of a count of 600 draws of probability p.
    for p, found in (
        (1 / 3, np.bincount(support_y[:, 0], minlength=3)),
        (1 / 3, np.bincount(query_y[:, 4], minlength=3)),
        (1 / 6, np.bincount(support[:, 0, 0], minlength=6)),
        (1 / 6, np.bincount(query[:, 8, 0], minlength=6)),
    ):
        assert np.abs(found - 600 * p).max() < 5 * np.sqrt(600 * p * (1 - p))
    of_class_b = np.bincount(query[query[..., 0] == 1][:, 1], minlength=7)
    assert of_class_b.min() > 0.6 * of_class_b.mean()


def test_the_brightest_pixel_is_1_and_others_are_their_share_of_it():
    images = np.asarray([0, 51, 255], np.uint8).repeat(4).reshape(12, 1, 1, 1)
    pool = Pool(images, np.full(3, 4), tuple("abc"))
    (support_x, _, _), _ = stream(pool).sample(0)
    np.testing.assert_allclose(np.sort(support_x.numpy().ravel()), [0, 0.2, 1], rtol=1e-6)


def test_every_class_gets_every_label_as_often(tasks):
    support, support_y, _, _ = tasks
    pairs = np.zeros((6, 3), int)
    np.add.at(pairs, (support[..., 0].ravel(), support_y.ravel()), 1)
    # 600 tasks; a class is in a task under one label with probability 1 / 6.
    assert np.abs(pairs - 100).max() < 5 * np.sqrt(600 / 6 * 5 / 6)


def test_examples_of_a_class_are_in_no_order():
    (support_x, _, query_x), _ = next(iter(stream(shots=2, queries=2).batch(300)))
    for images in (numbers(support_x), numbers(query_x)):
        same = images[:, :-1, 0] == images[:, 1:, 0]
        ascending = (images[:, :-1, 1] < images[:, 1:, 1])[same].mean()
        assert 0.35 < ascending < 0.65


def test_support_and_query_set_are_in_orders_of_their_own():
    (_, support_y, _), query_y = next(iter(stream(shots=2, queries=2).batch(300)))
    # 6! / 2!^3 = 90 orders of labels; with one order for both, all 300 would agree.
    agreeing = (support_y.numpy() == query_y.numpy()).all(axis=1).sum()
    assert agreeing < 15


def keys_of(monkeypatch, **options):
    """The keys of all draws of a task."""
    keys = []

    def recording(key, *arguments):
        keys.append(key)
        return draw(key, *arguments)

    draw = episodes.random_bits
    with monkeypatch.context() as patch:
        patch.setattr(episodes, "random_bits", recording)
        stream(rotate=True, **options).sample(0)
    return set(keys)


def test_draws_share_no_key_with_another_purpose_split_seed_or_data_set(monkeypatch):
    streams = [{}, {"split": "test"}, {"seed": 1}, {"name": "others"}]
    keys = [keys_of(monkeypatch, **options) for options in streams]
    # Classes, rotations, examples, order of the support set, order of the query set.
    assert [len(found) for found in keys] == [5] * 4
    assert len(set.union(*keys)) == 20


def test_the_classes_of_a_task_do_not_depend_on_shots_and_queries():
    few = numbers(next(iter(stream(shots=1, queries=0).batch(50)))[0][0])
    many = numbers(next(iter(stream(shots=2, queries=2).batch(50)))[0][0])
    for one, other in zip(few, many, strict=True):
        assert set(one[:, 0]) == set(other[:, 0])
        assert {tuple(image) for image in one} <= {tuple(image) for image in other}


def test_rotation_turns_all_images_of_a_class_alike_and_classes_on_their_own():
    image = np.asarray([[10, 20], [30, 40]], np.uint8)
    pool = Pool(np.tile(image[None, ..., None], (12, 1, 1, 1)), np.full(3, 4), tuple("abc"))
    turned = {np.rot90(image, k).tobytes(): k for k in range(4)}
    (support_x, support_y, query_x), query_y = next(
        iter(stream(pool, ways=3, shots=2, queries=2, rotate=True).batch(200))
    )
    turns = []
    for xs, ys in ((support_x, support_y), (query_x, query_y)):
        pixels = np.rint(xs.numpy()[..., 0] * 255).astype(np.uint8)
        found = np.asarray([[turned[i.tobytes()] for i in task] for task in pixels])
        order = np.argsort(ys.numpy(), axis=1, kind="stable")
        turns.append(np.take_along_axis(found, order, 1).reshape(200, 3, 2))
    by_class = np.concatenate(turns, axis=2)
    assert (by_class == by_class[..., :1]).all()
    assert (by_class[:, 0, 0] != by_class[:, 1, 0]).any()
    counts = np.bincount(by_class[..., 0].ravel(), minlength=4)
    assert np.abs(counts - 150).max() < 5 * np.sqrt(600 * 3 / 16)


def test_rotation_of_images_that_are_not_square_is_refused():
    pool = Pool(np.zeros((8, 2, 3, 1), np.uint8), np.full(2, 4), ("a", "b"))
    with pytest.raises(ValueError, match=r"square\. Received: 2 x 3"):
        stream(pool, ways=2, rotate=True)


def test_more_ways_than_classes_are_refused_with_both_numbers():
    with pytest.raises(ValueError, match=r"numbers train, which has 6\. Received: ways=7"):
        stream(ways=7)


def test_a_class_with_too_few_images_is_named_with_its_number():
    message = r"shots \+ queries = 2 \+ 3 examples\. Received: class 'a' .* with 4 \(2 of 6"
    with pytest.raises(ValueError, match=message):
        stream(shots=2, queries=3)


def test_the_info_says_what_the_stream_is_made_of():
    info = stream().info
    assert info["kind"] == "classification"
    assert (info["ways"], info["shots"], info["queries"], info["classes"]) == (3, 1, 3, 6)
    assert info["image_shape"] == [1, 1, 2]
    assert info["data_sha256"] == numbered_pool().sha256


def test_the_sha256_is_that_of_the_images_bytes():
    import hashlib

    pool = numbered_pool()
    assert pool.sha256 == hashlib.sha256(pool.images.tobytes()).hexdigest()


def test_labels_of_the_split_are_positions_of_classes_of_the_same_tasks(tasks):
    labelled = stream(label_scope="split")
    (support_x, support_y, query_x), query_y = next(iter(labelled.batch(600)))
    for images, labels, same in (
        (support_x, support_y, tasks[0]),
        (query_x, query_y, tasks[2]),
    ):
        np.testing.assert_array_equal(numbers(images), same)
        np.testing.assert_array_equal(numbers(images)[..., 0], labels)
    assert labelled.info["label_scope"] == "split"


def test_another_scope_of_labels_is_refused():
    with pytest.raises(ValueError, match=r"label_scope must be one of 'task', 'split'"):
        stream(label_scope="all")
