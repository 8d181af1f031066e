"""MAML in JAX under `jit`: tasks by `vmap`, or one after another by `lax.map`."""

import jax
import jax.numpy as jnp

from benchmarks.entries import Runner
from tests.references.jax_reference import loss as set_loss


def build_vmap(workload):
    return _build(workload, lambda function, tasks: jax.vmap(function)(tasks))


def build_map(workload):
    return _build(workload, jax.lax.map)


def _build(workload, mapping):
    problem = workload.problem
    weights = {p: jnp.asarray(w, jnp.float32) for p, w in problem.weights().items()}
    tasks = tuple(
        jnp.asarray(array, jnp.float32 if array.dtype.kind == "f" else jnp.int32)
        for array in problem.batch()
    )

    def query_loss(weights, task):
        support_x, support_y, query_x, query_y = task
        for _ in range(workload.inner_steps):
            gradients = jax.grad(set_loss, argnums=1)(problem, weights, support_x, support_y)
            if workload.first_order:
                gradients = jax.lax.stop_gradient(gradients)
            weights = {p: w - workload.inner_rate * gradients[p] for p, w in weights.items()}
        return set_loss(problem, weights, query_x, query_y)

    @jax.jit
    def backward(weights, tasks):
        def mean_loss(weights):
            return jnp.mean(mapping(lambda task: query_loss(weights, task), tasks))

        return jax.value_and_grad(mean_loss)(weights)

    @jax.jit
    def update(weights, moments, count, tasks):
        loss, gradients = backward(weights, tasks)
        count = count + 1
        rate = workload.outer_rate * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        moments = {
            p: (0.9 * m + 0.1 * gradients[p], 0.999 * v + 0.001 * gradients[p] ** 2)
            for p, (m, v) in moments.items()
        }
        weights = {
            p: w - rate * moments[p][0] / (jnp.sqrt(moments[p][1]) + 1e-7)
            for p, w in weights.items()
        }
        return weights, moments, count, loss

    zeros = {p: (jnp.zeros_like(w), jnp.zeros_like(w)) for p, w in weights.items()}
    carry = [weights, zeros, jnp.float32(0)]

    def gradient():
        loss, gradients = backward(carry[0], tasks)
        return float(loss), [gradients[path] for path in problem.weights()]

    def step():
        *carry[:], loss = jax.block_until_ready(update(*carry, tasks))
        return float(loss)

    return Runner(gradient, step)
