"""Reptile in JAX under `jit`: tasks by `vmap`, or one after another by `lax.map`."""

import jax
import jax.numpy as jnp

from benchmarks.contestants.jax.networks import mean_over_tasks, set_up, training


def vmapped(workload):
    return _build(workload, lambda function, tasks: jax.vmap(function)(tasks))


def one_by_one(workload):
    return _build(workload, jax.lax.map)


def _build(workload, mapping):
    algorithm, setting = workload.algorithm, set_up(workload)

    def adapted(weights, task):
        inputs, targets = task
        seconds, losses = jax.tree.map(jnp.zeros_like, weights), []
        for step in range(algorithm.inner_steps):
            rows = algorithm.rows(step)
            loss, gradients = jax.value_and_grad(setting.loss_of)(
                weights, inputs[rows], targets[rows]
            )
            losses.append(loss)
            seconds = {
                p: algorithm.beta_2 * second + (1 - algorithm.beta_2) * gradients[p] ** 2
                for p, second in seconds.items()
            }
            correction = 1 - algorithm.beta_2 ** (step + 1)
            weights = {
                p: w
                - algorithm.inner_rate
                * gradients[p]
                / (jnp.sqrt(seconds[p] / correction) + algorithm.epsilon)
                for p, w in weights.items()
            }
        return jnp.mean(jnp.stack(losses)), weights

    def loss_and_gradient(weights, tasks):
        mapped = mapping(lambda task: adapted(weights, task), tasks[:2])
        loss, moved = mean_over_tasks(mapped)
        return loss, {p: w - moved[p] for p, w in weights.items()}

    return training(workload, setting, loss_and_gradient)
