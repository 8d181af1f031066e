"""The choice of how a run computes: by what times, at what cost, and in which words."""

import contextlib
import types

import pytest
import tensorflow as tf

from tfmeta.runs import choices

VECTORIZED, SEQUENTIAL = (
    choices.Execution(False, "vectorized"),
    choices.Execution(False, "sequential"),
)
XLA = choices.Execution(True, "vectorized")


class Clock:
    """Time that passes only where a fake says so."""

    def __init__(self):
        self.now = self.processor = 0.0

    def perf_counter(self):
        return self.now

    def process_time(self):
        return self.processor


class FakeTraining:
    """Of a learner whose meta-gradient takes so many seconds, or is refused."""

    def __init__(
        self, clock, seconds, parallel="auto", chains_state=False, large=False, tiny=False
    ):
        self.learner = types.SimpleNamespace(
            parallel=parallel, chains_state=chains_state, has_tiny_tasks=lambda spec: tiny
        )
        self.parallel = "sequential" if large else parallel
        self._clock, self._seconds = clock, seconds

    def meta_gradient(self, batch):
        if self._seconds is None:
            raise tf.errors.InvalidArgumentError(None, None, "no kernel\nat a node")
        seconds, cores = self._seconds if isinstance(self._seconds, tuple) else (self._seconds, 1)
        self._clock.now += seconds
        self._clock.processor += seconds * cores


@pytest.fixture
def choose(monkeypatch):
    """Chooses between executions of given seconds; returns what was chosen and what was built."""
    clock = Clock()
    monkeypatch.setattr(choices, "time", clock)
    monkeypatch.setattr(choices, "train_stream", lambda settings: tf.data.Dataset.range(1))

    def choosing(seconds, steps=70_000, jit_compile=None, replicas=1, vectorizes=True, **learner):
        built = []

        def build_training(settings, strategy, jit_compile, parallel=None):
            execution = choices.Execution(jit_compile, parallel or "vectorized")
            built.append(execution)
            clock.now += 0.1
            return FakeTraining(clock, seconds[execution], **learner)

        settings = types.SimpleNamespace(
            run=types.SimpleNamespace(jit_compile=jit_compile),
            train=types.SimpleNamespace(steps=steps, tasks_per_step=1),
        )
        strategy = types.SimpleNamespace(num_replicas_in_sync=replicas)
        monkeypatch.setattr(choices, "build_training", build_training)
        refusals = contextlib.nullcontext([] if vectorizes else ["no converter"])
        monkeypatch.setattr(choices, "noting_refusals", lambda: refusals)
        found = choices.choose(settings, strategy)
        return found, built

    return choosing


@pytest.mark.parametrize("best", [VECTORIZED, SEQUENTIAL, XLA])
def test_the_fastest_execution_is_taken_and_its_times_are_named(choose, best):
    seconds = {VECTORIZED: 2e-3, SEQUENTIAL: 3e-3, XLA: 4e-3, best: 1e-3}
    found, built = choose(seconds)
    assert found.execution == best
    assert built == [VECTORIZED, SEQUENTIAL, XLA]
    assert f"{best} 1 ms" in found.reason


def test_what_is_faster_by_less_than_the_noise_is_not_taken(choose):
    found, _ = choose({VECTORIZED: 1e-3, SEQUENTIAL: 0.97e-3, XLA: 2e-3})
    assert found.execution == VECTORIZED


@pytest.mark.parametrize(
    ("seconds", "best"), [(1.04e-3, XLA), (0.98e-3, XLA), (1.2e-3, VECTORIZED)]
)
def test_among_executions_that_take_as_long_the_one_on_fewer_cores_is_taken(choose, seconds, best):
    found, _ = choose({VECTORIZED: (1e-3, 1.7), SEQUENTIAL: (2e-3, 1), XLA: (seconds, 1)})
    assert found.execution == best
    assert ("of the processor time of vectorized" in found.reason) == (best == XLA)


def test_a_trial_costs_no_more_than_its_share_of_the_run(choose):
    # 5 % of 400 steps of 0.1 s: time to build a second execution, not to compile a third.
    found, built = choose({VECTORIZED: 0.1, SEQUENTIAL: 0.05, XLA: 0.01}, steps=400)
    assert built == [VECTORIZED, SEQUENTIAL]
    assert found.execution == SEQUENTIAL
    assert "vectorized with XLA not tried" in found.reason


def test_a_trial_on_tiny_tasks_may_cost_more(choose):
    seconds = {VECTORIZED: 2e-3, SEQUENTIAL: 1e-3, XLA: 2e-4}
    assert choose(seconds, steps=2000, parallel="vectorized")[0].execution == VECTORIZED
    assert choose(seconds, steps=2000, parallel="vectorized", tiny=True)[0].execution == XLA


def test_a_short_run_takes_no_trial(choose):
    found, built = choose({VECTORIZED: 10.0}, steps=100)
    assert (found.execution, built) == (VECTORIZED, [VECTORIZED])
    assert "100 steps" in found.reason


def test_an_execution_that_tensorflow_refuses_is_named_and_left(choose):
    found, _ = choose({VECTORIZED: 1e-3, SEQUENTIAL: 2e-3, XLA: None})
    assert found.execution == VECTORIZED
    assert "vectorized with XLA refused: no kernel" in found.reason
    assert "at a node" not in found.reason


def test_what_the_recipe_fixes_is_not_tried(choose):
    seconds = {VECTORIZED: 1e-3, SEQUENTIAL: 1e-4, XLA: 1e-4}
    found, built = choose(seconds, jit_compile=False, parallel="vectorized")
    assert (found.execution, built, found.reason) == (
        VECTORIZED,
        [VECTORIZED],
        "the recipe says so",
    )
    _, built = choose(seconds, jit_compile=False)
    assert built == [VECTORIZED, SEQUENTIAL]
    _, built = choose(seconds, parallel="vectorized")
    assert built == [VECTORIZED, XLA]


def test_tasks_that_depend_on_each_other_or_cannot_be_vectorised_are_not_tried_twice(choose):
    seconds = {VECTORIZED: 1e-3, XLA: 2e-3, choices.Execution(True, "sequential"): 2e-3}
    _, built = choose(seconds, chains_state=True)
    assert built == [VECTORIZED, XLA]
    found, _ = choose(seconds, vectorizes=False)
    assert found.execution == SEQUENTIAL


def test_large_tasks_run_each_by_itself_without_a_trial(choose):
    found, built = choose({VECTORIZED: 1e-3}, large=True)
    assert found.execution == SEQUENTIAL
    assert built == [VECTORIZED]  # as it is asked for: "auto" makes the same choice
    assert found.reason == "its tasks are large"


def test_several_devices_take_no_trial(choose):
    _, built = choose({VECTORIZED: 1e-3, XLA: 1e-4}, replicas=2)
    assert built == [VECTORIZED]
