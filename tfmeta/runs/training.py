"""The compiled loop of meta-steps, on one device or many, and the variables that it counts with.

Many steps run in one call, with the number of steps an argument: the graph is the same whatever
that number is, so where a run logs, stops or is killed does not touch a bit of its weights.
"""

import time
from typing import NamedTuple

import tensorflow as tf

from tfmeta.inner import all_finite
from tfmeta.learners.contracts import Trainable
from tfmeta.runs.checkpoints import state_of
from tfmeta.runs.distributed.packing import pack, unpack

_PREFETCH = 2  # steps


class Progressed(NamedTuple):
    """What a stretch of steps gave.

    Attributes:
        step: the step that the run stands at now.
        values: dict of means since `reset`, loss first.
        seconds: that all steps so far took, over all sessions.
        bad_step: the step whose loss or gradient was not finite, or None.
    """

    step: int
    values: dict[str, float]
    seconds: float
    bad_step: int | None


class Training:
    """Meta-steps of a compiled learner.

    Args:
        learner: compiled, built under `strategy.scope()`.
        strategy: of TensorFlow; the default one for a single device.
        tasks_per_step: tasks of a step, over all replicas.
        jit_compile: XLA for the meta-gradient.
        parallel: how the meta-gradient's tasks are computed, in place of the learner's own, by
            which evaluation goes on. `build` settles what "auto" makes of their size.

    Raises:
        ValueError: if the tasks can't be divided evenly over the replicas.
    """

    def __init__(
        self,
        learner: Trainable,
        strategy: tf.distribute.Strategy,
        tasks_per_step: int,
        jit_compile: bool = False,
        parallel: str | None = None,
    ):
        replicas = strategy.num_replicas_in_sync
        if tasks_per_step % replicas:
            raise ValueError(
                f"train.tasks_per_step must be a multiple of the {replicas} devices, of all "
                f"workers together, which share its tasks. Received: {tasks_per_step}. Take "
                f"{-(-tasks_per_step // replicas) * replicas}, or other devices."
            )
        self.learner = learner
        self.parallel = parallel or learner.parallel
        self.strategy = strategy
        self.tasks_per_step = tasks_per_step
        self.jit_compile = jit_compile
        with strategy.scope():
            learner.optimizer.build(learner.parameter_variables)
            self.step_variable = tf.Variable(0, dtype=tf.int64, trainable=False)
            self.seconds_variable = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.names: list[str] = []

    def build(self, stream) -> None:
        """Compiles the step for a stream's shapes; afterwards `names` and `state` are known."""
        spec = stream.batch(self.tasks_per_step // self.strategy.num_replicas_in_sync)
        if self.parallel == "auto":
            self.parallel = self.learner.execution_of(spec.element_spec)
        with self.strategy.scope():
            self.learner.build_metrics(spec.element_spec)
        gradient = tf.function(self._gradient, jit_compile=self.jit_compile, autograph=False)

        def in_first_replica(*arguments):
            # Where the step calls it: elsewhere, reading a metric sums it over all workers, by an
            # all-reduce of its own.
            results = self.strategy.run(gradient, arguments)
            return tf.nest.map_structure(
                lambda result: self.strategy.experimental_local_results(result)[0], results
            )

        traced = tf.function(in_first_replica, autograph=False).get_concrete_function(
            spec.element_spec, tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.int64)
        )
        self._results = traced.structured_outputs
        logs = self._results[2]
        self.names = ["loss", *sorted(name for name in logs if name != "loss")]
        self._compiled_gradient = gradient
        with self.strategy.scope():
            self._totals = tf.Variable(tf.zeros([len(self.names)], tf.float64), trainable=False)
            self._count = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.state = state_of(
            self.learner,
            step=self.step_variable,
            seconds=self.seconds_variable,
            totals=self._totals,
            count=self._count,
        )
        self._advance = tf.function(self._steps, autograph=False)

    @property
    def step(self) -> int:
        return int(self.step_variable.numpy())

    @property
    def seconds(self) -> float:
        return float(self.seconds_variable.numpy())

    def start(self, stream_from) -> None:
        """Opens the tasks at the step that the variables stand at.

        Args:
            stream_from: callable from the index of a task to the stream that begins with it.
        """
        stream = stream_from(self.step * self.tasks_per_step)
        self.began = self.step
        replicas = self.strategy.num_replicas_in_sync

        def own_parts(worker: tf.distribute.InputContext):
            """A part of each batch for every replica of this process, in their order."""
            here = replicas // worker.num_input_pipelines
            own = range(worker.input_pipeline_id * here, (worker.input_pipeline_id + 1) * here)
            parts = stream.batch_parts(self.tasks_per_step, replicas, own)
            return parts.prefetch(_PREFETCH * here)

        self._batches = iter(self.strategy.distribute_datasets_from_function(own_parts))

    def advance(self, steps: int) -> Progressed:
        """Runs up to `steps` steps; fewer where a loss or gradient is not finite."""
        began = time.perf_counter()
        bad = int(self._advance(self._batches, tf.constant(steps, tf.int64)).numpy())
        self.seconds_variable.assign_add(time.perf_counter() - began)
        count = max(int(self._count.numpy()), 1)
        means = self._totals.numpy() / count
        values = dict(zip(self.names, means.tolist(), strict=True))
        return Progressed(self.step, values, self.seconds, None if bad < 0 else bad)

    def reset(self) -> None:
        """Begins a new row of means."""
        self._totals.assign(tf.zeros_like(self._totals))
        self._count.assign(0)

    def meta_gradient(self, batch) -> list:
        """The meta-gradient of a batch, as a step computes it; every weight stays as it was."""
        first = tf.constant(0, tf.int64)
        gradients, _, _ = self._compiled_gradient(batch, first, first)
        return [gradient.numpy() for gradient in gradients]

    def _gradient(self, batch, first_task, replica):
        per_replica = self.tasks_per_step // self.strategy.num_replicas_in_sync
        self.learner.reset_metrics()  # So that what is logged is this step's.
        own, self.learner.parallel = self.learner.parallel, self.parallel  # while this is traced
        try:
            return self.learner.compute_meta_gradient(batch, first_task + replica * per_replica)
        finally:
            self.learner.parallel = own

    def _in_replica(self, batch, first_task):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return self._compiled_gradient(batch, first_task, tf.cast(replica, tf.int64))

    def _one_step(self, batches):
        """Returns the step's logs [len(names)], not finite where something was not."""
        first_task = self.step_variable * self.tasks_per_step
        gradients, state, logs = self._means_over_replicas(next(batches), first_task)
        values = [tf.cast(logs[name], tf.float64) for name in self.names]
        finite = all_finite(values[0], gradients, self.learner.optimizer)
        values[0] = tf.where(finite, values[0], float("nan"))
        self.learner.apply_meta_gradient(gradients, state)
        self.step_variable.assign_add(1)
        return tf.stack(values)

    def _means_over_replicas(self, *arguments):
        """Gradients, state and logs, from one all-reduce."""
        if self.strategy.num_replicas_in_sync == 1:
            return self.strategy.run(self._in_replica, arguments)
        packed = self.strategy.run(lambda *own: pack(self._in_replica(*own)), arguments)
        return unpack({kind: self._mean(vector) for kind, vector in packed.items()}, self._results)

    def _mean(self, vector):
        first = self.strategy.experimental_local_results(vector)[0]
        if not first.dtype.is_floating:
            return first  # Every replica has the same.
        return self.strategy.reduce(tf.distribute.ReduceOp.MEAN, vector, axis=None)

    def _steps(self, batches, steps):
        def unfinished(done, bad, totals):
            return tf.logical_and(done < steps, bad < 0)

        def one(done, bad, totals):
            values = self._one_step(batches)
            step = tf.identity(self.step_variable)
            bad = tf.where(tf.math.is_finite(values[0]), bad, step)
            return done + 1, bad, totals + values

        start = (
            tf.constant(0, tf.int64),
            tf.constant(-1, tf.int64),
            tf.identity(self._totals),
        )
        done, bad, totals = tf.while_loop(unfinished, one, start, parallel_iterations=1)
        self._totals.assign(totals)
        self._count.assign_add(done)
        return bad
