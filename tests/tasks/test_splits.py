"""How classes are divided into splits."""

import warnings

import numpy as np
import pytest

from tfmeta.tasks.pool import Pool
from tfmeta.tasks.splits import split_by_fractions, split_classes


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


def test_fractions_are_rounded_and_leave_at_least_one_class():
    sizes = [
        len(split_by_fractions(pool_of(10), split, 0.04, 0.26, 0).counts)
        for split in ("train", "validation", "test", "all")
    ]
    assert sizes == [6, 1, 3, 10]


@pytest.mark.parametrize(
    ("split", "fractions", "message"),
    [
        (
            "test",
            (0.2, 0.0),
            "Split 'test' must get at least one of the classes. Received: 10 classes",
        ),
        ("train", (0.5, 0.5), "Split 'train' must get at least one of the classes"),
        ("train", (1.0, 0.5), "validation_fraction must be at least 0 and below 1. Received: 1.0"),
        ("dev", (0.2, 0.2), "'train', 'validation', 'test', 'all'. Received: 'dev'"),
    ],
)
def test_impossible_divisions_are_refused(split, fractions, message):
    with pytest.raises(ValueError, match=message):
        split_by_fractions(pool_of(10), split, *fractions, 0)


def test_a_split_that_hides_half_of_the_classes_says_where_they_are():
    with pytest.warns(UserWarning, match=r"8 classes, of which 4 in train, 2 in validation, 2 in"):
        chosen = split_by_fractions(pool_of(8), "train", 0.2, 0.2, 0)
    assert chosen.others == "of 8 classes 4 in train, 2 in validation, 2 in test"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split_by_fractions(pool_of(10), "train", 0.2, 0.2, 0)
        split_by_fractions(pool_of(8), "train", 0.25, 0.25, 0)  # half was asked for
        split_by_fractions(pool_of(8), "all", 0.2, 0.2, 0)
