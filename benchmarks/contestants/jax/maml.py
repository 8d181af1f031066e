"""MAML in JAX under `jit`: tasks by `vmap`, or one after another by `lax.map`."""

import jax
import jax.numpy as jnp

from benchmarks.contestants.jax.networks import mean_over_tasks, set_up, training


def vmapped(workload):
    setting = set_up(workload)
    query_loss = _query_loss(workload, setting)

    def mean_loss(weights, tasks):
        return jnp.mean(jax.vmap(query_loss, in_axes=(None, 0))(weights, tasks))

    return training(workload, setting, jax.value_and_grad(mean_loss))


def one_by_one(workload):
    setting = set_up(workload)
    query_loss = _query_loss(workload, setting)

    def loss_and_gradient(weights, tasks):
        # The derivative inside the map: one task's intermediate arrays at a time.
        one = jax.value_and_grad(query_loss)
        return mean_over_tasks(jax.lax.map(lambda task: one(weights, task), tasks))

    return training(workload, setting, loss_and_gradient)


def _query_loss(workload, setting):
    algorithm = workload.algorithm

    def query_loss(weights, task):
        support_x, support_y, query_x, query_y = task
        for _ in range(algorithm.inner_steps):
            gradients = jax.grad(setting.loss_of)(weights, support_x, support_y)
            if algorithm.first_order:
                gradients = jax.lax.stop_gradient(gradients)
            weights = {p: w - algorithm.inner_rate * gradients[p] for p, w in weights.items()}
        return setting.loss_of(weights, query_x, query_y)

    return query_loss
