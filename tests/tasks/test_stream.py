"""Streams: which tasks they give, in which order, in which shape."""

import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tfmeta.tasks import TaskStream


def glyphs(**options):
    return tfmeta.tasks.glyphs("test", **{"ways": 3, "shots": 2, "queries": 2, **options})


def sinusoid(**options):
    return tfmeta.tasks.sinusoid("test", **{"shots": 3, "queries": 4, **options})


SOURCES = pytest.mark.parametrize("source", [glyphs, sinusoid])


def arrays(tasks):
    return [[part.numpy() for part in tf.nest.flatten(task)] for task in tasks]


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)


@SOURCES
def test_a_stream_restarts_with_the_same_tasks_and_another_process_of_it_too(source):
    stream = source(seed=5, count=6)
    first = arrays(stream)
    assert_same(first, arrays(stream))
    assert_same(first, arrays(source(seed=5).take(6)))


@SOURCES
def test_sample_gives_the_task_that_the_stream_gives_at_that_index(source):
    stream = source(seed=5, count=4)
    assert_same(arrays(stream), arrays(stream.sample(index) for index in range(4)))
    compiled = tf.function(stream.sample)
    assert_same(arrays([stream.sample(3)]), arrays([compiled(tf.constant(3))]))


@SOURCES
def test_a_stream_started_later_goes_on_where_the_first_would_be(source):
    assert_same(arrays(source(seed=2, count=8))[5:], arrays(source(seed=2, start=5, count=3)))


@SOURCES
def test_a_batch_holds_the_tasks_one_by_one(source):
    tasks = arrays(source(seed=1, start=2, count=7))
    batches = arrays(source(seed=1, start=2, count=7).batch(3))
    assert [len(batch[0]) for batch in batches] == [3, 3, 1]
    joined = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    assert_same([[part[i] for part in joined] for i in range(7)], tasks)


@pytest.mark.parametrize("queries", [0, 2])
@SOURCES
def test_an_endless_batch_is_drawn_with_others_and_holds_the_same_tasks(source, queries):
    counted = source(seed=1, start=2, count=300, queries=queries).batch(3)
    endless = source(seed=1, start=2, queries=queries).batch(3)
    assert endless.element_spec == counted.element_spec
    assert_same(arrays(endless.take(100)), arrays(counted))


@SOURCES
def test_other_seeds_and_other_tasks_differ(source):
    images = [arrays([source(seed=seed).sample(i)])[0][0] for seed in (0, 1) for i in (0, 1)]
    for i in range(4):
        for j in range(i):
            assert not np.array_equal(images[i], images[j])


def test_drop_remainder_drops_the_last_tasks():
    batches = arrays(sinusoid(count=7).batch(3, drop_remainder=True))
    assert [len(batch[0]) for batch in batches] == [3, 3]


def test_a_batch_has_a_static_task_axis_where_every_batch_is_full():
    endless, even, uneven = (sinusoid(count=count).batch(4) for count in (None, 8, 9))
    assert endless.element_spec[1].shape == (4, 4, 1)
    assert even.element_spec[1].shape == (4, 4, 1)
    assert uneven.element_spec[1].shape.as_list() == [None, 4, 1]


def test_endless_and_counted_streams_say_so():
    assert sinusoid().cardinality() == tf.data.INFINITE_CARDINALITY
    assert sinusoid().batch(3).cardinality() == tf.data.INFINITE_CARDINALITY
    assert sinusoid(count=7).cardinality() == 7
    assert sinusoid(count=7).batch(3).cardinality() == 3


def test_a_stream_is_a_dataset_with_static_shapes():
    stream = glyphs()
    assert isinstance(stream, TaskStream)
    assert isinstance(stream, tf.data.Dataset)
    (support_x, support_y, query_x), query_y = stream.element_spec
    assert support_x == tf.TensorSpec([6, 28, 28, 1], tf.float32)
    assert support_y == tf.TensorSpec([6], tf.int32)
    assert query_x == tf.TensorSpec([6, 28, 28, 1], tf.float32)
    assert query_y == tf.TensorSpec([6], tf.int32)


def test_shards_of_several_workers_share_no_task():
    tasks = arrays(sinusoid(count=6))
    shards = [arrays(sinusoid(count=6).shard(2, worker)) for worker in range(2)]
    assert_same([shards[i % 2][i // 2] for i in range(6)], tasks)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": -1}, r"start must be a whole number of 0 or more\. Received: -1"),
        ({"count": 0}, r"count must be a whole number of 1 or more\. Received: 0"),
        ({"shots": 0}, r"shots must be a whole number of 1 or more\. Received: 0"),
        ({"queries": -1}, r"queries must be a whole number of 0 or more\. Received: -1"),
        ({"shots": 1.5}, r"shots must be a whole number of 1 or more\. Received: 1\.5"),
    ],
)
@SOURCES
def test_impossible_numbers_are_refused(source, options, message):
    with pytest.raises(ValueError, match=message):
        source(**options)


@SOURCES
def test_an_empty_query_set_is_allowed(source):
    (_, _, query_x), query_y = next(iter(source(queries=0).batch(2)))
    assert query_x.shape[:2] == (2, 0)
    assert query_y.shape[:2] == (2, 0)


@SOURCES
def test_parts_of_batches_are_the_same_tasks_whoever_draws_them(source):
    stream = source(seed=3, start=12)
    whole = arrays(stream.batch(6).take(2))
    drawn = [
        # Three parts of two tasks each, shared by a host with two devices and one with one.
        arrays(stream.batch_parts(6, 3, own).take(2 * len(own)))
        for own in (range(2), range(2, 3))
    ]
    for step in range(2):
        parts = [*drawn[0][2 * step : 2 * step + 2], drawn[1][step]]
        joined = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        assert_same([joined], [whole[step]])


def test_parts_have_static_shapes_and_no_end():
    parts = sinusoid().batch_parts(6, 3, range(1, 3))
    assert parts.element_spec[1].shape.as_list() == [2, 4, 1]
    assert parts.cardinality() == tf.data.INFINITE_CARDINALITY


@pytest.mark.parametrize(
    ("options", "arguments", "said"),
    [
        ({}, (6, 4, range(1)), "multiple of the number of parts"),
        ({}, (6, 0, range(1)), "multiple of the number of parts"),
        ({}, (6, 3, range(2, 4)), "consecutive parts"),
        ({}, (6, 3, range(0)), "consecutive parts"),
        ({}, (6, 3, range(0, 3, 2)), "consecutive parts"),
        ({"count": 12}, (6, 3, range(1)), "endless"),
    ],
)
def test_parts_that_cannot_be_are_refused(options, arguments, said):
    with pytest.raises(ValueError, match=said):
        sinusoid(**options).batch_parts(*arguments)
