"""Loss and metrics of answers, for a `train_step` or `test_step` of your own."""

from typing import Any

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners import checks
from tfmeta.learners.batch.batches import target_tensors
from tfmeta.learners.batch.task_weights import mean_of_tasks, split_weights
from tfmeta.learners.keras_model.keras_steps import query_metrics
from tfmeta.learners.keras_model.meta_steps import unpacked
from tfmeta.parallel import map_tasks
from tfmeta.tasks.task import Examples, Task


def compute_loss(learner, x: Any, y: Any, y_pred: tf.Tensor, sample_weight: Any) -> tf.Tensor:
    """The loss [] of answers; arguments as of `MetaLearner.compute_loss`.

    Raises:
        ValueError: where the network has losses of its own, which are of adapted weights.
    """
    checks.check_compiled(learner)
    _check_own_losses(learner, x)
    task, weight = _measured(y, y_pred, sample_weight)

    def loss_of(one):
        outputs, targets, weights, masks = one
        return learner.loss_function(targets, inner.with_mask(outputs, *masks), weights)

    tasks = (y_pred, task.query.targets, task.query.weights, inner.masks_of(y_pred))
    return mean_of_tasks(map_tasks(loss_of, tasks), weight)


def compute_metrics(learner, y: Any, y_pred: tf.Tensor, sample_weight: Any) -> dict:
    """Updates the metrics by answers; arguments as of `MetaLearner.compute_metrics`."""
    task, weight = _measured(y, y_pred, sample_weight)
    query_metrics(learner, task, y_pred, weight)
    return learner.get_metrics_result()


def _measured(y, y_pred, sample_weight):
    """A `Task` of answers, targets and weights of queries; and the weights of tasks, or None."""
    weights = None if sample_weight is None else tf.convert_to_tensor(sample_weight)
    targets = target_tensors(y, "query_y")
    return split_weights(Task(Examples(None), Examples(y_pred, targets, weights)))


def _check_own_losses(learner, x):
    network = learner.network
    own = list(network.losses)
    if x is not None and not own:  # Activity losses and `add_loss` show in a call.
        inputs = keras.tree.map_structure(lambda tensor: tensor[0], unpacked((x,)).query.inputs)
        weights = [tf.convert_to_tensor(variable) for variable in network.trainable_variables]
        state = [tf.convert_to_tensor(variable) for variable in network.non_trainable_variables]
        own = learner.task_network.pure(weights, state, inputs, batch_statistics=True)[2]
    if own:
        raise ValueError(
            "Losses of the network's own (regularisers, activity losses, add_loss) are of adapted "
            f"weights, which answers don't tell. Received: compute_loss with {network.name!r}, "
            "which has such losses. Call compute_meta_gradient(data), whose logs have the loss."
        )
