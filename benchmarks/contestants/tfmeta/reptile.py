"""Reptile by tfmeta."""

import numpy as np

import tfmeta
from benchmarks.contestants.tfmeta.learners import make_network, training
from tfmeta.learners.reptile import minibatch_rows


def build(workload, parallel="auto", jit_compile=False):
    learner = make_learner(workload, parallel)
    return training(workload, learner, jit_compile, arranged_batch(workload, learner))


def make_learner(workload, parallel):
    algorithm = workload.algorithm
    return tfmeta.Reptile(
        make_network(workload),
        algorithm.inner_rate,
        algorithm.inner_steps,
        inner_optimizer=tfmeta.inner.Adam(0.0, algorithm.beta_2, algorithm.epsilon),
        batch_size=algorithm.batch_size,
        parallel=parallel,
    )


def arranged_batch(workload, learner):
    """The batch, its examples in an order of which the first minibatches are consecutive parts.

    The learner shuffles each task by itself, in the steps that are timed too; other contestants
    take the examples as they come, which is less work. In the first step all have the same rows.
    """
    support_x, support_y, *query = workload.problem.batch()
    return *_arranged(learner, support_x, support_y), *query


def _arranged(learner, *arrays):
    tasks, examples = arrays[0].shape[:2]
    size = learner.batch_size
    steps = examples // size
    arranged = [np.empty_like(array) for array in arrays]
    for task, key in enumerate(learner.task_keys(0, tasks)):
        rows = np.concatenate([minibatch_rows(step, size, examples, key) for step in range(steps)])
        for target, source in zip(arranged, arrays, strict=True):
            target[task, rows] = source[task]
    return arranged
