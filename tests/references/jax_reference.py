"""MAML in JAX, independent of tfmeta and of the PyTorch program: a witness for the stored values.

`python -m tests.references.jax_reference`, with any interpreter that has jax, from the root of the
repository, compares itself with what is stored and exits with 1 where they differ.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

from tests.references import problems


def network(problem, weights, images):
    """Logits [N, ways] of images [N, h, w, c]; `weights` by path."""
    x = images
    for block in range(1, 5):
        strides = (1, 1) if problem.pooled else (2, 2)
        x = jax.lax.conv_general_dilated(
            x,
            weights[f"conv_{block}/kernel"],
            strides,
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = x + weights[f"conv_{block}/bias"]
        variance = jnp.var(x, (0, 1, 2))
        x = (x - jnp.mean(x, (0, 1, 2))) / jnp.sqrt(variance + problems.BATCH_NORM_EPSILON)
        x = jax.nn.relu(x + weights[f"norm_{block}/beta"])
        if problem.pooled:
            window = (1, 2, 2, 1)
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
    x = x.reshape(len(x), -1) if problem.pooled else x.mean((1, 2))
    return x @ weights["head/kernel"] + weights["head/bias"]


def loss(problem, weights, images, labels):
    log_probabilities = jax.nn.log_softmax(network(problem, weights, images))
    return -jnp.mean(jnp.take_along_axis(log_probabilities, labels[:, None], axis=1))


def query_loss(problem, case, weights, task):
    support_x, support_y, query_x, query_y = task
    for _ in range(case.inner_steps):
        gradient = jax.grad(loss, argnums=1)(problem, weights, support_x, support_y)
        weights = {p: w - case.inner_rate * gradient[p] for p, w in weights.items()}
    return loss(problem, weights, query_x, query_y)


def meta_gradient(problem, case):
    """Means over tasks in float64: the query loss, and the gradient as numpy arrays by path."""
    with jax.enable_x64(True):
        weights = {p: jnp.asarray(w) for p, w in problem.weights().items()}
        batch = tuple(jnp.asarray(array) for array in problem.batch())

        def mean_loss(weights):
            tasks = [tuple(array[i] for array in batch) for i in range(problem.tasks)]
            return sum(query_loss(problem, case, weights, t) for t in tasks) / problem.tasks

        value, gradient = jax.value_and_grad(mean_loss)(weights)
        return float(value), {p: np.asarray(g) for p, g in gradient.items()}


def main():
    worst = 0.0
    for problem in problems.PROBLEMS.values():
        for case in problem.cases():
            if case.algorithm == "maml":
                expected = problems.stored(problem.name)[case.name]
                difference = problems.case_distance(reference(problem, case), expected)
                print(f"{problem.name} {case.name}: {difference:.1e} from the stored values")
                worst = max(worst, difference)
    return int(worst > problems.TOLERANCE)


def reference(problem, case) -> dict:
    value, gradient = meta_gradient(problem, case)
    gradient = {p: problems.fingerprint(p, g) for p, g in gradient.items()}
    return {"query_loss": value, "gradient": gradient}


if __name__ == "__main__":
    sys.exit(main())
