"""Adaptation in JAX under `jit`: tasks by `vmap`, or one after another by `lax.map`."""

import jax
import numpy as np

from benchmarks.contestants.jax.networks import set_up
from benchmarks.entries import Runner

# More steps make compilation long; a loop keeps it constant.
MAX_UNROLLED_STEPS = 5


def vmapped(workload):
    return _build(workload, lambda function, tasks: jax.vmap(function)(tasks))


def one_by_one(workload):
    return _build(workload, jax.lax.map)


def _build(workload, mapping):
    algorithm, setting = workload.algorithm, set_up(workload)

    def outputs(weights, task):
        support_x, support_y, query_x = task

        def step(_, weights):
            gradients = jax.grad(setting.loss_of)(weights, support_x, support_y)
            return {p: w - algorithm.inner_rate * gradients[p] for p, w in weights.items()}

        weights = jax.lax.fori_loop(
            0,
            algorithm.inner_steps,
            step,
            weights,
            unroll=algorithm.inner_steps <= MAX_UNROLLED_STEPS,
        )
        return setting.outputs_of(weights, query_x)

    @jax.jit
    def answers(weights, tasks):
        return mapping(lambda task: outputs(weights, task), tasks)

    def answer():
        return None, [np.asarray(answers(setting.weights, setting.tasks[:3]))]

    def step():
        return float(np.asarray(answers(setting.weights, setting.tasks[:3]))[0, 0, 0])

    return Runner(answer, step)
