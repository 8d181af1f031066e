"""What tfmeta's learners of all algorithms share here: network, loss, compiled meta-step."""

import keras
import tensorflow as tf

import tfmeta
from benchmarks.entries import Runner


def make_network(workload):
    problem = workload.problem
    if problem.network == "mlp":
        network = tfmeta.networks.mlp(problem.hidden, dtype=workload.dtype)
    else:
        network = tfmeta.networks.conv4(
            problem.ways,
            problem.image_shape,
            filters=problem.filters,
            downsampling="max_pool" if problem.pooled else "stride",
            head="flatten" if problem.pooled else "mean",
            dtype=workload.dtype,
        )
    arrays = problem.weights().values()
    for variable, array in zip(network.trainable_variables, arrays, strict=True):
        variable.assign(array)
    return network


def compiled(workload, learner, jit_compile):
    loss = (
        keras.losses.MeanSquaredError()
        if workload.problem.network == "mlp"
        else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    learner.compile(keras.optimizers.Adam(workload.outer_rate), loss, jit_compile=jit_compile)
    return learner


def tensors(workload, batch):
    """The arrays of a batch, as tensors of the workload's dtype; labels stay integers."""
    return [
        tf.constant(array, workload.dtype if array.dtype.kind == "f" else tf.int32)
        for array in batch
    ]


def training(workload, learner, jit_compile, batch=None) -> Runner:
    """A `Runner` that takes the step that `fit` compiles.

    Args:
        workload: a `Workload`.
        learner: with the workload's weights.
        jit_compile: whether XLA compiles.
        batch: arrays other than the problem's.
    """
    compiled(workload, learner, jit_compile)
    support_x, support_y, query_x, query_y = tensors(workload, batch or workload.problem.batch())
    data = ((support_x, support_y, query_x), query_y)
    train_step = tf.function(learner.train_step, jit_compile=jit_compile, autograph=False)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def gradients():
        values, _, logs = learner.compute_meta_gradient(data)
        return logs["loss"], values

    return Runner(gradients, lambda: float(train_step(data)["loss"]))
