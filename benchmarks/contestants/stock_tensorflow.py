"""MAML in plain TensorFlow: stock `tf.vectorized_map` and `tf.map_fn`, nothing of tfmeta.

Moments are written out, so that second derivatives are right.
"""

import functools

import tensorflow as tf

from benchmarks.entries import Runner
from tests.references.problems import BATCH_NORM_EPSILON


def vectorized_map(workload):
    return _build(workload, functools.partial(tf.vectorized_map, warn=False))


def map_fn(workload):
    return _build(workload, functools.partial(tf.map_fn, fn_output_signature=workload.dtype))


def _build(workload, mapping):
    variables = {
        path: tf.Variable(array, dtype=workload.dtype)
        for path, array in workload.problem.weights().items()
    }
    tasks = [
        tf.constant(array, workload.dtype if array.dtype.kind == "f" else tf.int32)
        for array in workload.problem.batch()
    ]
    optimizer = tf.keras.optimizers.Adam(workload.outer_rate)
    optimizer.build(list(variables.values()))

    def backward():
        with tf.GradientTape() as tape:
            losses = mapping(lambda task: _query_loss(workload, variables, task), tasks)
            loss = tf.reduce_mean(losses)
        return loss, tape.gradient(loss, list(variables.values()))

    @tf.function(autograph=False)
    def update():
        loss, gradients = backward()
        optimizer.apply(gradients, list(variables.values()))
        return loss

    return Runner(tf.function(backward, autograph=False), lambda: float(update()))


def _query_loss(workload, variables, task):
    algorithm = workload.algorithm
    loss_of = {"conv4": _conv4_loss, "mlp": _mlp_loss}[workload.problem.network]
    support_x, support_y, query_x, query_y = task
    weights = {path: tf.convert_to_tensor(variable) for path, variable in variables.items()}
    for _ in range(algorithm.inner_steps):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = loss_of(workload.problem, weights, support_x, support_y)
        gradients = tape.gradient(loss, weights)
        if algorithm.first_order:
            gradients = {path: tf.stop_gradient(value) for path, value in gradients.items()}
        weights = {p: w - algorithm.inner_rate * gradients[p] for p, w in weights.items()}
    return loss_of(workload.problem, weights, query_x, query_y)


def _conv4_loss(problem, weights, images, labels):
    x = images
    for block in range(1, 5):
        stride = 1 if problem.pooled else 2
        x = tf.nn.conv2d(x, weights[f"conv_{block}/kernel"], stride, "SAME")
        x = x + weights[f"conv_{block}/bias"]
        mean = tf.reduce_mean(x, [0, 1, 2])
        variance = tf.reduce_mean(tf.square(x - mean), [0, 1, 2])
        x = (x - mean) * tf.math.rsqrt(variance + BATCH_NORM_EPSILON)
        x = tf.nn.relu(x + weights[f"norm_{block}/beta"])
        if problem.pooled:
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    x = tf.reshape(x, [x.shape[0], -1]) if problem.pooled else tf.reduce_mean(x, [1, 2])
    logits = x @ weights["head/kernel"] + weights["head/bias"]
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    )


def _mlp_loss(problem, weights, x, targets):
    for index in range(len(problem.hidden)):
        name = f"hidden_{index + 1}"
        x = tf.nn.relu(x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"])
    return tf.reduce_mean(tf.square(x @ weights["head/kernel"] + weights["head/bias"] - targets))
