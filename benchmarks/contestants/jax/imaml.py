"""iMAML in JAX under `jit`: tasks by `vmap`, or one after another by `lax.map`.

Hessian-vector products are by `jax.linearize` of the support gradient, once a task.
"""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from benchmarks.contestants.jax.networks import mean_over_tasks, set_up, training


def vmapped(workload):
    return _build(workload, lambda function, tasks: jax.vmap(function)(tasks))


def one_by_one(workload):
    return _build(workload, jax.lax.map)


def _build(workload, mapping):
    algorithm, setting = workload.algorithm, set_up(workload)

    def task_gradient(start, task):
        support_x, support_y, query_x, query_y = task

        def gradient(weights):
            return jax.grad(setting.loss_of)(weights, support_x, support_y)

        def inner_step(_, weights):
            gradients = gradient(weights)
            return {
                p: w
                - algorithm.inner_rate * (gradients[p] + algorithm.regularization * (w - start[p]))
                for p, w in weights.items()
            }

        weights = jax.lax.fori_loop(0, algorithm.inner_steps, inner_step, start)
        query_loss, right = jax.value_and_grad(setting.loss_of)(weights, query_x, query_y)
        right, shaped = ravel_pytree(right)
        _, product = jax.linearize(gradient, weights)

        def operator(vector):
            return vector + ravel_pytree(product(shaped(vector)))[0] / algorithm.regularization

        return query_loss, shaped(conjugate_gradient(operator, right, algorithm.cg_steps))

    def loss_and_gradient(weights, tasks):
        return mean_over_tasks(mapping(lambda task: task_gradient(weights, task), tasks))

    return training(workload, setting, loss_and_gradient)


def conjugate_gradient(operator, right_side, steps):
    """Solves operator(x) = right_side, vectors, from x = 0."""
    solution = jnp.zeros_like(right_side)
    residual = direction = right_side
    squared = residual @ residual
    for _ in range(steps):
        mapped = operator(direction)
        step = squared / (direction @ mapped)
        solution = solution + step * direction
        residual = residual - step * mapped
        following = residual @ residual
        direction = residual + following / squared * direction
        squared = following
    return solution
