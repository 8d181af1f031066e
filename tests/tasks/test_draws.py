"""Random numbers of tasks."""

import numpy as np
import pytest
import tensorflow as tf

from tfmeta.tasks.draws import choose, draw_key, random_bits, uniform

# Among them numbers that agree in their lowest 32 or 64 bits.
SEEDS = (-1, 0, 1, 2**32 - 1, 2**32, 2**32 + 1, 2**64, 10**30)


@pytest.mark.parametrize("words", [1, 4, 7, 1000])
def test_a_block_of_tasks_holds_the_draws_of_its_tasks_one_by_one(words):
    key = draw_key(3, "examples")
    block = random_bits(key, tf.constant(40, tf.int64), 5, words).numpy()
    for offset in range(5):
        alone = random_bits(key, tf.constant(40 + offset, tf.int64), 1, words).numpy()
        np.testing.assert_array_equal(block[offset], alone[0])
    assert len(np.unique(block)) > 0.99 * block.size


def test_seeds_and_purposes_have_keys_of_their_own():
    keys = {draw_key(seed, purpose) for seed in SEEDS for purpose in ("a", "b")}
    assert len(keys) == 2 * len(SEEDS)


def test_a_seed_that_is_no_whole_number_is_refused():
    with pytest.raises(ValueError, match=r"seed must be a whole number\. Received: 1\.5"):
        draw_key(1.5, "a")


def test_uniform_fills_its_range_evenly_and_never_reaches_the_upper_end():
    bits = random_bits(draw_key(0, "uniform"), tf.constant(0, tf.int64), 1, 100_000)
    drawn = uniform(bits, -2.0, 3.0).numpy()
    assert drawn.min() >= -2.0
    assert drawn.max() < 3.0
    counts, _ = np.histogram(drawn, bins=20, range=(-2, 3))
    # Each bin expects 5,000 with a standard deviation of 69: five of them.
    assert np.abs(counts - 5000).max() < 5 * 69
    edge = uniform(tf.constant([-1, 0], tf.int32), 0.0, 1.0).numpy()
    np.testing.assert_array_equal(edge, np.float32([1 - 2.0**-24, 0.0]))


def test_choose_draws_without_replacement_below_the_limits():
    bits = random_bits(draw_key(0, "choose"), tf.constant(0, tf.int64), 2000, 9)
    limits = tf.constant([3, 9] * 1000)
    chosen = choose(bits, 3, limits).numpy()
    assert all(len(set(row)) == 3 for row in chosen)
    assert set(chosen[::2].ravel()) == {0, 1, 2}
    assert set(chosen[1::2].ravel()) == set(range(9))
    first = np.bincount(chosen[1::2, 0], minlength=9)
    assert np.abs(first - 111).max() < 5 * 10  # 1000 / 9, standard deviation 10
