"""tfmeta's MAML, compiled as `fit` compiles it: all tasks in one pass, or one after another."""

import keras
import tensorflow as tf

import tfmeta
from benchmarks.entries import Runner


def build(workload, parallel="vectorized", jit_compile=False):
    problem = workload.problem
    network = tfmeta.networks.conv4(
        problem.ways,
        problem.image_shape,
        filters=problem.filters,
        downsampling="max_pool" if problem.pooled else "stride",
        head="flatten" if problem.pooled else "mean",
    )
    for variable, array in zip(
        network.trainable_variables, problem.weights().values(), strict=True
    ):
        variable.assign(array)
    learner = tfmeta.MAML(
        network,
        workload.inner_rate,
        workload.inner_steps,
        first_order=workload.first_order,
        parallel=parallel,
    )
    learner.compile(
        keras.optimizers.Adam(workload.outer_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit_compile,
    )
    support_x, support_y, query_x, query_y = (
        tf.constant(array, tf.float32 if array.dtype.kind == "f" else tf.int32)
        for array in problem.batch()
    )
    x = (support_x, support_y, query_x)
    train_step = tf.function(learner.train_step, jit_compile=jit_compile, autograph=False)

    def gradient():
        gradients, outputs = learner.meta_gradient(x, query_y)
        return float(tf.reduce_mean(learner.loss(query_y, outputs))), gradients

    def step():
        learner.reset_metrics()
        return float(train_step((x, query_y))["loss"])

    return Runner(gradient, step)


def build_sequential(workload):
    return build(workload, parallel="sequential")


def build_xla(workload):
    return build(workload, jit_compile=True)
