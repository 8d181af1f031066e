"""How a run computes its meta-gradient: chosen once before step 1, by a trial where one pays.

On a CPU, large tasks run each by itself, several at a time (`learners/keras_model/execution.py`):
nothing else was faster there, and to try it would take minutes and gigabytes. For small ones
vectorised tasks on TensorFlow's executor come first; XLA may shorten the step of a small network
and lengthens that of a convolutional one, whose tasks may run faster each by itself too. So a run
that is long enough times the executions on its own tasks, in turns. What it chose is kept in
run.json: executions differ by rounding, and a run must not change its own.
"""

import functools
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfmeta.parallel import noting_refusals
from tfmeta.runs.building import build_training, train_stream
from tfmeta.runs.training import Training

# What a trial may cost, as a share of the training that it may shorten. XLA takes a half or a third
# of the time of tiny tasks, so that there a trial pays which costs more.
_SHARE, _SHARE_OF_TINY = 0.05, 0.2
# What XLA takes to compile, in times of tracing and of TensorFlow's first call.
_XLA_COST = 3
_ROUNDS = 3
_SECONDS_A_TURN = 0.1
# Meta-gradients that a trial of two executions computes at the least.
_LEAST_STEPS = 2 * (1 + _ROUNDS)
# Another execution must be so much faster: below it lies the noise of a machine that others share.
_MARGIN = 1.05
# Where one is no faster, it must take at most so much of the processors' time: what it leaves draws
# tasks meanwhile, and does not slow down when another program wants a core.
_THRIFT = 0.8


class Execution(NamedTuple):
    """How the meta-gradient is computed.

    Attributes:
        jit_compile: whether XLA compiles it.
        parallel: "vectorized" or "sequential", as a learner's.
    """

    jit_compile: bool
    parallel: str

    def __str__(self):
        return f"{self.parallel} with XLA" if self.jit_compile else self.parallel


class Chosen(NamedTuple):
    """What was chosen.

    Attributes:
        training: built, with every variable as before the first step.
        execution: of the meta-gradient.
        reason: a sentence for the log, with the times measured.
    """

    training: Training
    execution: Execution
    reason: str


def choose(settings, strategy, say=lambda text: None) -> Chosen:
    """Chooses how a new run computes its meta-gradient; what its recipe fixes is not tried.

    Args:
        settings: the recipe's `Settings`.
        strategy: of the run; several devices would have to agree, so they take no trial.
        say: called with a line before a trial begins.
    """
    fixed = settings.run.jit_compile
    began = time.perf_counter()
    with noting_refusals() as refusals:
        training = build_training(settings, strategy, bool(fixed))
    seconds = time.perf_counter() - began
    learner, others = training.learner, []
    first = Execution(bool(fixed), training.parallel)
    if training.parallel != learner.parallel:
        return Chosen(training, first, "its tasks are large")
    if training.parallel == "auto":
        first = first._replace(parallel="sequential" if refusals else "vectorized")
        if first.parallel == "vectorized" and not learner.chains_state:
            others.append(first._replace(parallel="sequential"))
    if fixed is None:
        others.append(first._replace(jit_compile=True))
    if not others:
        return Chosen(training, first, "the recipe says so")
    if strategy.num_replicas_in_sync > 1:
        return Chosen(training, first, "several devices take no trial")
    batches = train_stream(settings).batch(settings.train.tasks_per_step)
    share = _SHARE_OF_TINY if learner.has_tiny_tasks(batches.element_spec) else _SHARE
    if settings.train.steps * share < _LEAST_STEPS:
        return Chosen(training, first, f"no trial for a run of {settings.train.steps} steps")
    say("timing executions of a step, to keep the fastest")
    batch = next(iter(batches))
    built = {first: training}

    def build(execution):
        built[execution] = build_training(settings, strategy, *execution)
        return functools.partial(built[execution].meta_gradient, batch)

    trial = Trial(settings.train.steps, share)
    trial.begin(first, functools.partial(training.meta_gradient, batch), seconds)
    for execution in others:
        trial.add(execution, build)
    best, reason = trial.result()
    return Chosen(built[best], best, reason)


class Trial:
    """A competition of executions, which costs at most a share of what is to be computed.

    Args:
        repetitions: how often the best of them will be called.
        share: of what these calls will take.
    """

    def __init__(self, repetitions: int, share: float = _SHARE):
        self._repetitions, self._share = repetitions, share
        self._functions, self._notes = {}, []

    def begin(self, execution: Execution, function, seconds_to_build: float):
        """Takes the execution that is built already, which the others must beat.

        Args:
            execution: that is built.
            function: zero-argument function that computes by it.
            seconds_to_build: what building it took.
        """
        self._first, self._functions[execution] = execution, function
        self._build = seconds_to_build + _seconds(function)
        self._once = _seconds(function)
        self._left = self._share * self._repetitions * self._once

    def add(self, execution: Execution, build):
        """Takes another execution, if there is time for it and TensorFlow can run it.

        Args:
            execution: to try.
            build: takes `execution` and returns a zero-argument function that runs it.
        """
        cost = self._build * (_XLA_COST if execution.jit_compile else 1) + _LEAST_STEPS * self._once
        if cost > self._left:
            self._notes.append(f"{execution} not tried: that may take {cost:.0f} s")
            return
        began = time.perf_counter()
        try:
            function = build(execution)
            _seconds(function)
            self._functions[execution] = function
        except (tf.errors.OpError, NotImplementedError, ValueError) as error:
            lines = str(getattr(error, "message", None) or error).splitlines()
            self._notes.append(f"{execution} refused: {lines[0][:200] if lines else type(error)}")
        self._left -= max(time.perf_counter() - began, _LEAST_STEPS * self._once)

    def result(self) -> tuple[Execution, str]:
        """The fastest execution, or the first where none is faster by a clear margin; and why.

        Among executions that take as long, one that takes clearly less of the processors' time.
        """
        if len(self._functions) == 1:
            return self._first, "; ".join(self._notes)
        seconds, processor = self._medians()
        best = min(
            seconds,
            key=lambda execution: seconds[execution] * (1 if execution == self._first else _MARGIN),
        )
        near = [execution for execution in seconds if seconds[execution] <= _MARGIN * seconds[best]]
        thrifty = min(near, key=processor.get)
        reasons = [
            ", ".join(f"{execution} {1e3 * seconds[execution]:.3g} ms" for execution in seconds)
        ]
        if processor[thrifty] <= _THRIFT * processor[best]:
            share = processor[thrifty] / processor[best]
            reasons.append(f"{thrifty} takes {share:.2f} of the processor time of {best}")
            best = thrifty
        return best, "; ".join([f"a meta-gradient takes {reasons[0]}", *reasons[1:], *self._notes])

    def _medians(self) -> tuple[dict, dict]:
        """Seconds of a call by execution, and seconds of the processors."""
        turns = {execution: [] for execution in self._functions}
        times = max(1, round(_SECONDS_A_TURN / self._once))
        for _ in range(_ROUNDS):
            for execution, function in self._functions.items():
                before = time.process_time()
                wall = _seconds(function, times)
                turns[execution].append((wall, (time.process_time() - before) / times))
        medians = {
            execution: np.median(found, axis=0).tolist() for execution, found in turns.items()
        }
        return tuple({execution: found[i] for execution, found in medians.items()} for i in (0, 1))


def _seconds(function, times=1) -> float:
    """Seconds of a call, on the average of so many."""
    began = time.perf_counter()
    for _ in range(times):
        function()
    return (time.perf_counter() - began) / times
