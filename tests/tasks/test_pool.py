"""Pools and how their classes are divided."""

import numpy as np
import pytest

from tfmeta.tasks.pool import Pool, pool_of_labels, split_by_fractions, split_classes


def pool_of(classes):
    images = np.arange(classes, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return Pool(images, np.ones(classes, int), tuple(str(label) for label in range(classes)))


def test_splits_are_disjoint_complete_and_fixed():
    parts = {split: split_classes(1623, split, 100, 423) for split in ("train", "test")}
    parts["validation"] = split_classes(1623, "validation", 100, 423)
    assert {split: len(part) for split, part in parts.items()} == {
        "train": 1100,
        "validation": 100,
        "test": 423,
    }
    assert sorted(np.concatenate(list(parts.values()))) == list(range(1623))
    np.testing.assert_array_equal(parts["train"][:5], split_classes(1623, "train", 0, 423)[:5])


def test_validation_comes_out_of_train_alone():
    with_validation = split_classes(1623, "test", 100, 423)
    np.testing.assert_array_equal(with_validation, split_classes(1623, "test", 0, 423))
    both = [*split_classes(1623, "train", 100, 423), *split_classes(1623, "validation", 100, 423)]
    assert sorted(both) == sorted(split_classes(1623, "train", 0, 423))


def test_the_shuffle_is_the_same_on_every_machine():
    np.testing.assert_array_equal(split_classes(8, "train", 0, 0), [6, 2, 1, 7, 3, 0, 5, 4])


def test_labels_are_sorted_into_classes_in_their_order():
    images = np.arange(5, dtype=np.uint8).reshape(-1, 1, 1, 1)
    pool = pool_of_labels(images, np.asarray([1, 0, 1, 0, 1]), ["a", "b"])
    np.testing.assert_array_equal(pool.images.ravel(), [1, 3, 0, 2, 4])
    np.testing.assert_array_equal(pool.counts, [2, 3])
    np.testing.assert_array_equal(pool.select([1, 0]).images.ravel(), [0, 2, 4, 1, 3])


def test_fractions_are_rounded_and_leave_at_least_one_class():
    sizes = [
        len(split_by_fractions(pool_of(10), split, 0.04, 0.26, 0).counts)
        for split in ("train", "validation", "test", "all")
    ]
    assert sizes == [6, 1, 3, 10]


@pytest.mark.parametrize(
    ("split", "fractions", "message"),
    [
        ("test", (0.2, 0.0), "Split 'test' must get at least one class. Received: 10 classes"),
        ("train", (0.5, 0.5), "Split 'train' must get at least one class"),
        ("train", (1.0, 0.5), "validation_fraction must be at least 0 and below 1. Received: 1.0"),
        ("dev", (0.2, 0.2), "'train', 'validation', 'test', 'all'. Received: 'dev'"),
    ],
)
def test_impossible_divisions_are_refused(split, fractions, message):
    with pytest.raises(ValueError, match=message):
        split_by_fractions(pool_of(10), split, *fractions, 0)
