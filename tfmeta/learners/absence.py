"""What counts an example of weight 0: functions of a whole batch but its moments, own losses."""

import keras
import tensorflow as tf

from tfmeta import inner


def assertions(learner, task, *, trains=False):
    """Assertions that no weight is 0 where the network cannot leave out an example of weight 0.

    Args:
        learner: a compiled `MetaLearner`.
        task: a `Task` of tensors with a leading axis T.
        trains: whether the layers' own state moves by the queries.

    Returns:
        A list of operations that the use of the task must depend on; empty for a network that
        leaves such examples out, as batch normalisation does.
    """
    pure, training = learner.task_network.pure, learner.task_network.batch_statistics
    inductive = learner.normalization == "inductive"
    assertions = []
    for name, examples in (("support_weights", task.support), ("sample_weight", task.query)):
        if examples.weights is None or examples.inputs is None:
            continue
        queries = name == "sample_weight"
        inputs = keras.tree.map_structure(lambda tensor: tensor[0], examples.inputs)
        mixed = moved = False
        costs = pure.absent_examples_cost(inputs, training=training)
        if not (queries and inductive):
            mixed = pure.absent_examples_matter(inputs, training=training)
        if queries and trains:
            moved = pure.absent_examples_move(inputs)
        if not (mixed or moved or costs):
            continue
        if mixed or moved:
            who = f"{_who_mixes(pure, mixed, training)} without regard to weights"
            remedy = "take a layer that sees one example at a time, or batch normalisation"
        else:
            who, remedy = _who_costs(pure), "leave out that loss"
        message = (
            f"An example of weight 0 is absent, but {who}. Received: a weight of 0 in {name}. "
            f"Leave such examples out of the tasks, or {remedy}."
        )
        elements = list(range(2, examples.weights.shape.rank))
        present = tf.reduce_any(tf.not_equal(examples.weights, 0), axis=elements)
        assertions.append(tf.debugging.Assert(tf.reduce_all(present), [message]))
    return [assertion for assertion in assertions if assertion is not None]


def _who_costs(pure):
    layers = [
        f"{layer.name} ({type(layer).__name__})"
        for layer in pure.network._flatten_layers()
        if layer.activity_regularizer
    ]
    names = ", ".join(layers)
    return f"the {f'activity regulariser of {names}' if names else 'added loss'} counts it"


def _who_mixes(pure, mixed, training):
    if not mixed:
        state = pure.network.non_trainable_variables
        paths = [inner.relative_path(pure.network, state[position]) for position in pure.moving]
        return f"the state {', '.join(paths)} counts it"
    layers = inner.mixing_layers(pure, training=training)
    return f"{', '.join(layers) or f'the network {pure.network.name}'} looks across the batch"
