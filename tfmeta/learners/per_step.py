"""Values that belong to an inner step: a row for each, and the last one's for all steps beyond."""

import keras
import tensorflow as tf


def at_step(index, rows):
    """Row `index` of a tensor [n, ...]; the last row for `index` of n and above.

    As a product with 0s and one 1, whose derivative is dense; a gather's is a sparse update.
    """
    count = rows.shape[0]
    chosen = tf.one_hot(tf.minimum(index, count - 1), count, dtype=rows.dtype)
    return tf.tensordot(chosen, rows, 1)


def with_last(earlier, last):
    """The rows [n, ...] of all steps, from those [n - 1, ...] of the earlier ones and the last."""
    return tf.concat([earlier, last[tf.newaxis]], axis=0)


def earlier_rows(owner, variables, steps, prefix, *, trainable):
    """Makes variables [steps - 1, ...] for the steps before the last, which is `variables` itself.

    Args:
        owner: the `keras.Model` that they belong to.
        variables: list of Keras variables, whose values they start with.
        steps: number of inner steps.
        prefix: of their names.
        trainable: whether the outer optimiser trains them.
    """
    made = []
    for number, variable in enumerate(variables):
        rows = owner.add_weight(
            shape=(steps - 1, *variable.shape),
            dtype=variable.dtype,
            initializer="zeros",
            trainable=trainable,
            constraint=_of_rows(variable.constraint),
            name=f"{prefix}_{number}",
        )
        value = tf.convert_to_tensor(variable)
        rows.assign(tf.tile(value[tf.newaxis], [steps - 1] + [1] * value.shape.rank))
        made.append(rows)
    return made


def _of_rows(constraint):
    """A constraint of rows [n, ...], each of which a variable's own constraint holds for."""
    if constraint is None:
        return None
    return lambda rows: tf.stack([constraint(row) for row in tf.unstack(rows)])


def normalization_positions(network):
    """Of batch normalisation: positions among the network's trained and not trained variables."""
    layers = [
        layer
        for layer in network._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    found = {id(variable) for layer in layers for variable in layer.variables}
    return tuple(
        [position for position, variable in enumerate(variables) if id(variable) in found]
        for variables in (network.trainable_variables, network.non_trainable_variables)
    )
