"""What is asserted of a batch within the graph, since only its values or sizes there tell it.

Sizes that no trace knows, labels, weights, and examples of weight 0 that a network cannot leave
out. Where XLA compiles a function it drops assertions, so that `learners/keras_model/guards.py`
calls these outside it.
"""

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.batch.batch_checks import NO_QUERIES


def batch_assertions(learner, task, ways: int | None, *, trains: bool = False) -> list:
    """All assertions of a batch of tasks, on which its use within a graph must depend.

    Args:
        learner: a compiled `MetaLearner`.
        task: a `Task` of tensors with a leading axis T.
        ways: number of classes that labels tell apart; None: labels are not looked at.
        trains: whether a meta-step follows, in which the layers' own state moves by the queries,
            and a learner that learns from no query needs none.
    """
    return [
        *shape_assertions(task, queries=not trains or learner.gradient_rule.learns_from_queries),
        *weight_assertions(task, query=False),
        *label_assertions(learner, task, ways),
        *absence_assertions(learner, task, trains=trains),
    ]


def shape_assertions(task, *, queries=True) -> list:
    """Assertions, within a graph, of what `batch_checks.check_tasks` could not know of sizes.

    Args:
        task: a `Task` of tensors with a leading axis T.
        queries: whether a task whose query targets are given needs a query.

    Returns:
        Operations that the use of the task must depend on; none where all sizes are known.
    """
    assertions = []
    for name, examples in (("support", task.support), ("query", task.query)):
        if examples is None or examples.inputs is None:
            continue
        inputs = tf.nest.flatten(examples.inputs)[0]
        for part, tensor in (("y", examples.targets), ("weights", examples.weights)):
            assertions += _equal_sizes(
                f"{name}_x and {name}_{part} must hold as many tasks and examples as each other. "
                "Received:",
                inputs,
                tensor,
                2,
            )
    if task.query is not None and task.query.inputs is not None:
        one, other = (tf.nest.flatten(part.inputs)[0] for part in task)
        assertions += _equal_sizes(
            "support_x and query_x must hold as many tasks as each other. Received:", one, other, 1
        )
    assertions.append(
        _holds_an_example(
            "A support set must hold an example. Give the tasks 1 shot or more. Received support_y "
            "of shape:",
            task.support.targets,
        )
    )
    if queries and task.query is not None and task.query.targets is not None:
        assertions.append(_holds_an_example(f"{NO_QUERIES} Received query_y of shape:", task[1][1]))
    return [assertion for assertion in assertions if assertion is not None]


def weight_assertions(task, *, support=True, query=True) -> list:
    """Assertions that weights are finite numbers, 0 or more.

    Weights count by their share in a sum: with weights of -1 a loss would be that of weights of 1.

    Args:
        task: a `Task` of tensors.
        support: whether to look at the support set's weights.
        query: whether to look at the weights of queries or tasks.
    """
    given = []
    if support:
        given.append(("support_weights", task.support.weights))
    if query:
        given.append(("sample_weight", task.query.weights))
    assertions = []
    for name, weights in given:
        if weights is None:
            continue
        values = weights if weights.dtype.is_floating else tf.cast(weights, tf.float32)
        counts = tf.reduce_all(tf.math.is_finite(values) & (values >= 0))
        message = (
            f"{name} must be finite numbers, 0 or more. Leave an example out by a weight of 0. "
            "Received weights from, to:"
        )
        data = [message, tf.reduce_min(values), tf.reduce_max(values)]
        assertions.append(tf.debugging.Assert(counts, data))
    return [assertion for assertion in assertions if assertion is not None]


def label_assertions(learner, task, ways):
    """Assertions that sparse labels are below `ways` or ignored; empty where none apply."""
    if ways is None:
        return []
    assertions = []
    for name, examples, kind in (
        ("support_y", task.support, learner.inner_loss_function.kind),
        ("query_y", task.query, learner.loss_function.kind),
    ):
        if examples.targets is None or kind.target != "sparse":
            continue
        labels = tf.cast(examples.targets, tf.int64)
        valid = (labels >= 0) & (labels < ways)
        ignored = ""
        if kind.ignore_class is not None:
            valid |= labels == kind.ignore_class
            ignored = f", or the ignored class {kind.ignore_class}"
        valid = tf.reduce_all(valid)
        message = (
            f"{name} must be from 0 to {ways - 1}, for {ways} outputs{ignored}. Build the network "
            "with more ways, or relabel the tasks. Received labels from, to:"
        )
        assertion = tf.debugging.Assert(
            valid, [message, tf.reduce_min(labels), tf.reduce_max(labels)]
        )
        if assertion is not None:
            assertions.append(assertion)
    return assertions


def absence_assertions(learner, task, *, trains=False):
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


def _holds_an_example(message, targets):
    """An assertion that sets are not empty; None where their size is known."""
    if targets.shape[1:2].as_list() != [None]:
        return None
    shape = tf.shape(targets)
    # A replica without a task has no examples either.
    return tf.debugging.Assert((shape[1] > 0) | (shape[0] == 0), [message, shape])


def _equal_sizes(message, one, other, axes):
    if other is None or one.shape.rank is None or other.shape.rank is None:
        return []
    known = one.shape[:axes].is_fully_defined() and other.shape[:axes].is_fully_defined()
    if known or min(one.shape.rank, other.shape.rank) < axes:
        return []
    sizes = [tf.shape(tensor)[:axes] for tensor in (one, other)]
    same = tf.reduce_all(tf.equal(*sizes))
    return [tf.debugging.Assert(same, [message, sizes[0], "and", sizes[1]])]


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
