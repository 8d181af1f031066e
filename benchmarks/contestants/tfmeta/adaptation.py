"""Adaptation by tfmeta: the function of a batch of tasks that `predict` compiles."""

import tensorflow as tf

import tfmeta
from benchmarks.contestants.tfmeta.learners import compiled, make_network, tensors
from benchmarks.entries import Runner


def build(workload, parallel="auto", jit_compile=False):
    learner = make_learner(workload, parallel)
    compiled(workload, learner, jit_compile)
    tasks = tuple(tensors(workload, workload.problem.batch())[:3])

    @tf.function(jit_compile=jit_compile, autograph=False)
    def answers(tasks):
        return learner(tasks)

    return Runner(lambda: (None, [answers(tasks)]), lambda: float(answers(tasks).numpy()[0, 0, 0]))


def make_learner(workload, parallel):
    algorithm = workload.algorithm
    return tfmeta.MAML(
        make_network(workload), algorithm.inner_rate, algorithm.inner_steps, parallel=parallel
    )
