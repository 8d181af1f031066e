"""The outer step as stock Keras takes it: an optimizer, on the gradients that a learner gives."""

import keras
import numpy as np
import tensorflow as tf

from tfmeta.learners.core.variables import changed_groups


def batches(entry, count, tasks=2):
    """So many batches of different tasks for the training of a learner of the registry."""
    return [entry.batch(tasks=tasks, seed=seed) for seed in range(count)]


def stream(batches):
    """The batches as a `tf.data.Dataset`, however many tasks each has."""
    specs = tf.nest.map_structure(
        lambda array: tf.TensorSpec([None, *array.shape[1:]], array.dtype), batches[0]
    )
    dataset = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=specs)
    return dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))


def values(variables):
    """Copies of variables' values."""
    return [np.array(variable.numpy()) for variable in variables]


def stock_steps(entry, optimizer, batches, *, eagerly=False, **options):
    """Parameters after one step of a Keras optimizer on each batch.

    The optimizer sees plain variables, and of the learner the gradients alone.

    Args:
        entry: of the registry.
        optimizer: a Keras optimizer, not built.
        batches: list of batches.
        eagerly: whether gradients are computed without a graph, which is quicker for few tasks.
        **options: of the learner's constructor.

    Returns:
        List of arrays, after what `fit` does at its end.
    """
    learner = entry.compiled(optimizer=keras.optimizers.SGD(0.0), **options)
    variables = [
        keras.Variable(value, dtype=value.dtype, name=path.replace("/", "_"))
        for path, value in zip(
            learner.parameter_paths, values(learner.parameter_variables), strict=True
        )
    ]
    optimizer.build(variables)

    def gradient(data, index):
        return learner.compute_meta_gradient(data, index)[:2]

    if not eagerly:
        gradient = tf.function(gradient, autograph=False, reduce_retracing=True)
    seen = 0
    for batch in batches:
        data = tf.nest.map_structure(tf.constant, batch)
        gradients, state = gradient(data, tf.constant(seen, tf.int64))
        optimizer.apply(gradients, variables)
        for own, variable in zip(learner.parameter_variables, variables, strict=True):
            own.assign(variable)
        if changed_groups(learner):
            for variable, value in zip(learner.state_variables, state, strict=True):
                variable.assign(value)
        if hasattr(learner, "meta_step"):
            learner.meta_step.assign(keras.ops.cast(optimizer.iterations, "int64"))
        seen += len(batch[1])
    optimizer.finalize_variable_values(variables)
    return values(variables)


def largest_difference(ours, theirs):
    """The largest difference between two lists of arrays."""
    return max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
