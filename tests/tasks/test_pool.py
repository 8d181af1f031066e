"""Pools of images by class."""

import numpy as np

from tfmeta.tasks.pool import pool_of_labels


def test_labels_are_sorted_into_classes_in_their_order():
    images = np.arange(5, dtype=np.uint8).reshape(-1, 1, 1, 1)
    pool = pool_of_labels(images, np.asarray([1, 0, 1, 0, 1]), ["a", "b"])
    np.testing.assert_array_equal(pool.images.ravel(), [1, 3, 0, 2, 4])
    np.testing.assert_array_equal(pool.counts, [2, 3])
    np.testing.assert_array_equal(pool.select([1, 0]).images.ravel(), [0, 2, 4, 1, 3])
