"""The workloads' networks in JAX, and what all algorithms here start from."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.entries import Runner
from tests.references import jax_reference


def mlp(problem, weights, x):
    """Outputs [N, 1] of inputs [N, 1]; `weights` by path."""
    for index in range(len(problem.hidden)):
        name = f"hidden_{index + 1}"
        x = jax.nn.relu(x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"])
    return x @ weights["head/kernel"] + weights["head/bias"]


def mlp_loss(problem, weights, inputs, targets):
    return jnp.mean((mlp(problem, weights, inputs) - targets) ** 2)


# The network and the loss of its tasks.
NETWORKS = {
    "conv4": (jax_reference.network, jax_reference.loss),
    "mlp": (mlp, mlp_loss),
}


class Setting(NamedTuple):
    """What all algorithms start from.

    Attributes:
        weights: by path.
        outputs_of: function of (weights, inputs).
        loss_of: function of (weights, inputs, targets).
        tasks: support_x, support_y, query_x, query_y, each [T, N, ...].
    """

    weights: dict
    outputs_of: Callable
    loss_of: Callable
    tasks: tuple


def set_up(workload) -> Setting:
    problem = workload.problem
    outputs_of, loss_of = (
        functools.partial(function, problem) for function in NETWORKS[problem.network]
    )
    weights = {p: jnp.asarray(w, workload.dtype) for p, w in problem.weights().items()}
    tasks = tuple(
        jnp.asarray(array, workload.dtype if array.dtype.kind == "f" else jnp.int32)
        for array in problem.batch()
    )
    return Setting(weights, outputs_of, loss_of, tasks)


def training(workload, setting, loss_and_gradient) -> Runner:
    """A `Runner` with Adam, compiled whole.

    Args:
        workload: a `Workload`.
        setting: its `Setting`.
        loss_and_gradient: function of (weights, tasks) to the loss and the meta-gradient by path.
    """

    # The optimiser's state is given away, so that it is updated in place. The gradient is a result
    # too: the answer is then of the very program that is timed, and nothing is compiled twice.
    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def update(weights, moments, count, tasks):
        loss, gradients = loss_and_gradient(weights, tasks)
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
        return weights, moments, count, loss, gradients

    weights, tasks = setting.weights, setting.tasks
    zeros = {p: (jnp.zeros_like(w), jnp.zeros_like(w)) for p, w in weights.items()}
    carry = [weights, zeros, jnp.zeros((), workload.dtype)]

    def answer():
        *_, loss, gradients = update(*jax.tree.map(jnp.copy, carry), tasks)
        return float(loss), [gradients[path] for path in weights]

    def step():
        *carry[:], loss, _ = jax.block_until_ready(update(*carry, tasks))
        return float(loss)

    return Runner(answer, step)


def mean_over_tasks(tree):
    """Means of arrays [T, ...] over their first axis."""
    return jax.tree.map(lambda array: jnp.mean(array, axis=0), tree)
