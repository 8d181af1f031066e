"""Mapping over tasks: structure, parts that are None, passes, and what is refused."""

import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfmeta.parallel import chain_tasks, map_tasks, noting_refusals
from tfmeta.tasks.task import Examples

X = tf.reshape(tf.range(12.0), [4, 3])


@pytest.mark.parametrize("parallel", ["auto", "vectorized", "sequential"])
def test_structures_with_parts_that_are_none_are_mapped(parallel):
    result = map_tasks(
        lambda e: {"sum": tf.reduce_sum(e.inputs), "none": tf.constant(e.weights is None)},
        Examples(X, X),
        parallel=parallel,
    )
    assert np.array_equal(result["sum"], tf.reduce_sum(X, axis=1))
    assert result["none"].numpy().all()


@pytest.mark.parametrize("parallel", ["auto", "vectorized", "sequential"])
def test_of_no_tasks_there_are_no_results_of_their_shape(parallel):
    """As where nobody asks for queries; each query by itself is a task of a map."""

    def function(task):
        hidden = tf.nn.bias_add(task.inputs @ tf.ones([3, 2]), tf.ones([2]))
        return {"outputs": tf.nn.bias_add(hidden @ tf.ones([2, 5]), tf.ones([5]))}

    @tf.function(autograph=False)
    def mapped(inputs):
        return map_tasks(function, Examples(inputs, None), parallel=parallel)

    assert mapped(tf.zeros([0, 4, 3]))["outputs"].shape == (0, 4, 5)
    assert mapped(tf.zeros([2, 4, 3]))["outputs"].shape == (2, 4, 5)


@pytest.mark.parametrize("tasks_per_pass", [1, 2, 3, 4, 5])
def test_passes_give_the_same_whether_or_not_they_divide_the_tasks(tasks_per_pass):
    whole = map_tasks(lambda x: tf.cumsum(x), X)
    passes = map_tasks(lambda x: tf.cumsum(x), X, tasks_per_pass=tasks_per_pass)
    assert np.array_equal(passes, whole)


def test_passes_must_hold_a_task_and_divide_a_number_of_tasks_that_varies():
    with pytest.raises(ValueError, match=r"tasks_per_pass must be at least 1\. Received: 0"):
        map_tasks(lambda x: x, X, tasks_per_pass=0)

    @tf.function(input_signature=[tf.TensorSpec([None, 3])], autograph=False)
    def in_passes(x):
        return map_tasks(lambda one: 2.0 * one, x, tasks_per_pass=2)

    assert np.array_equal(in_passes(X), 2.0 * X)
    with pytest.raises(tf.errors.InvalidArgumentError, match="tasks_per_pass must divide it"):
        in_passes(X[:3])


def at_a_time(**options):
    """How many tasks, or passes, the loop of a mapped graph may have in flight."""
    graph = tf.function(lambda x: map_tasks(tf.cumsum, x, **options), autograph=False)
    graph = graph.get_concrete_function(X).graph
    (loop,) = (op for op in graph.get_operations() if op.type in ("While", "StatelessWhile"))
    return loop.get_attr("parallel_iterations")


def test_tasks_apart_run_as_many_at_a_time_as_there_are_cores_and_passes_one(monkeypatch):
    module = importlib.import_module("tfmeta.parallel.map_tasks")
    monkeypatch.setattr(module, "_cores", lambda: 3)
    assert at_a_time(parallel="sequential") == 3
    assert at_a_time(parallel="sequential", tasks_per_pass=2) == 2
    assert at_a_time(parallel="sequential", tasks_per_pass=8) == 3
    assert at_a_time(parallel="vectorized", tasks_per_pass=2) == 1


def test_on_a_gpu_tasks_apart_run_one_at_a_time(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: ["a GPU"])
    assert at_a_time(parallel="sequential") == 1


def test_tasks_apart_of_eager_code_run_one_at_a_time_without_a_word(caplog):
    assert np.array_equal(map_tasks(tf.cumsum, X, parallel="sequential"), np.cumsum(X, axis=1))
    assert not caplog.records


def test_tasks_at_a_time_change_no_bit(monkeypatch):
    module = importlib.import_module("tfmeta.parallel.map_tasks")
    x = tf.random.stateless_normal([9, 20, 20], [1, 2])

    def function(one):
        return tf.linalg.matmul(one, tf.nn.softmax(one)), tf.reduce_sum(one)

    found = []
    for cores in (1, 4):
        monkeypatch.setattr(module, "_cores", lambda cores=cores: cores)
        found.append(
            tf.function(lambda x: map_tasks(function, x, parallel="sequential"), autograph=False)(x)
        )
    for one_at_a_time, four in zip(*found, strict=True):
        assert np.array_equal(one_at_a_time, four)


def test_an_unknown_way_lists_the_known_ones():
    with pytest.raises(ValueError, match="'auto', 'vectorized', 'sequential'"):
        map_tasks(lambda x: x, X, parallel="fast")


def test_a_lone_task_of_unknown_count_keeps_its_axis():
    @tf.function(input_signature=[tf.TensorSpec([None, 1, 3])], autograph=False)
    def squeezed(x):
        return map_tasks(lambda one: tf.squeeze(one) + 1.0, x, parallel="vectorized")

    assert squeezed(tf.zeros([1, 1, 3])).shape == (1, 3)
    assert squeezed(tf.zeros([2, 1, 3])).shape == (2, 3)


def test_what_cannot_be_vectorised_runs_one_task_at_a_time_and_says_so_once(monkeypatch, caplog):
    def refuse(function, tasks):
        raise ValueError("No pfor vectorization defined for SomeOperation\nmore")

    module = importlib.import_module("tfmeta.parallel.map_tasks")
    monkeypatch.setattr(module, "_vectorized", refuse)
    for _ in range(2):
        with noting_refusals() as refusals:
            assert np.array_equal(map_tasks(lambda x: 2 * x, X), 2 * X)
        assert refusals == ["No pfor vectorization defined for SomeOperation"]
    (message,) = [record.getMessage() for record in caplog.records]
    assert "SomeOperation" in message
    with pytest.raises(ValueError, match="SomeOperation"):
        map_tasks(lambda x: 2 * x, X, parallel="vectorized")


def test_a_chain_hands_the_state_on_in_order():
    def step(x, state):
        total = state[0] + tf.reduce_sum(x)
        return {"before": state[0]}, [total]

    results, state = tf.function(
        lambda x: chain_tasks(step, x, [tf.constant(0.0)]), autograph=False
    )(X)
    assert list(results["before"].numpy()) == [0.0, 3.0, 15.0, 36.0]
    assert float(state[0]) == 66.0


@pytest.mark.parametrize("parallel", ["auto", "vectorized", "sequential"])
def test_a_function_that_is_wrong_is_traced_once_and_says_so_itself(parallel, caplog):
    calls = []

    def wrong(x):
        calls.append(x)
        raise ValueError("the function is wrong")

    with pytest.raises(ValueError, match="the function is wrong"):
        map_tasks(wrong, X, parallel=parallel)
    assert len(calls) == 1
    assert not caplog.records


def test_ctc_which_fails_to_vectorise_by_another_error_runs_task_by_task(caplog):
    rng = np.random.default_rng(0)
    outputs = tf.constant(rng.normal(size=(2, 1, 3, 3)).astype("float32"))
    labels = tf.constant(rng.integers(1, 3, (2, 1, 1)))
    loss = keras.losses.CTC()
    with noting_refusals() as refusals:
        found = map_tasks(lambda task: loss(*task), (labels, outputs))
    assert len(refusals) == 1
    assert not any("created at" in record.getMessage() for record in caplog.records)
    np.testing.assert_allclose(found, [loss(*task) for task in zip(labels, outputs, strict=True)])


@pytest.mark.parametrize("kind", [AttributeError, ValueError])
def test_what_a_function_itself_raises_is_raised_at_its_first_call(kind):
    calls = []

    def wrong(x):
        calls.append(x)
        raise kind("my own mistake")

    with pytest.raises(kind, match=r"^my own mistake$"):
        map_tasks(wrong, X)
    assert len(calls) == 1
