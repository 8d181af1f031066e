"""Reptile (Nichol, Achiam, Schulman 2018): move the initialisation towards adapted weights."""

import keras
import tensorflow as tf

from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.learners.pure_functions import TaskGradient


@keras.saving.register_keras_serializable("tfmeta")
class Reptile(MetaLearner):
    """Treats `weights - adapted weights` as the gradient of the initialisation.

    With SGD of rate epsilon outside this is the paper's interpolation
    `w <- w + epsilon (mean of adapted - w)` (algorithm 2; one task a step is algorithm 1), and a
    falling epsilon is a learning-rate schedule; with Adam outside it is the paper's alternative.

    Minibatches of the inner loop are drawn from the task's examples without replacement within an
    epoch, as the authors' code. A task may have no query set in training; what is reported as
    "loss" is the mean loss of the inner minibatches, and "query_loss" where there are queries.

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights, or a dict from patterns to rates.
        inner_steps: in training.
        inner_optimizer: "adam" (beta_1 = 0, the paper's), "sgd", "momentum", or an instance.
        batch_size: examples of an inner minibatch in training; None: all.
        test_batch_size: in evaluation and export; None: `batch_size`.
        carry_moments: whether the inner optimiser's slots go on from task to task, in order, as
            the authors' code (then tasks run one after another), instead of starting at 0.
        **options: of `MetaLearner`.
    """

    learns_from_queries = False

    def __init__(
        self,
        network,
        inner_rate=1e-3,
        inner_steps=5,
        *,
        inner_optimizer="adam",
        batch_size=None,
        test_batch_size=None,
        carry_moments=False,
        **options,
    ):
        super().__init__(
            network, inner_rate, inner_steps, inner_optimizer=inner_optimizer, **options
        )
        for name, value in (("batch_size", batch_size), ("test_batch_size", test_batch_size)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1. Received: {value}.")
        self.batch_size = batch_size
        self.test_batch_size = batch_size if test_batch_size is None else test_batch_size
        self.carry_moments = carry_moments
        self.chains_state = carry_moments
        self.updates_state = self.updates_state or carry_moments
        self.slot_variables = self._build_slots() if carry_moments else []
        self._query_loss_tracker = keras.metrics.Mean(name="query_loss")

    @property
    def state_variables(self):
        """The network's state, then the carried slots of the inner optimiser."""
        return [*super().state_variables, *self.slot_variables]

    def task_gradient(self, parameters, task, state, key) -> TaskGradient:
        """`weights - adapted weights`; 0 for weights that do not adapt."""
        adaptation = self.adapt_weights(
            parameters,
            task.support,
            self.inner_steps,
            state,
            key,
            observe=self._observed,
            training=True,
        )
        gradient = self._direction(parameters, adaptation)
        outputs, query_loss, network_state = self._query(adaptation.weights, state, task)
        # Without an inner step there is no minibatch whose loss could be reported.
        losses = adaptation.step_losses if self.inner_steps else adaptation.support_losses
        logs = {"loss": tf.reduce_mean(losses)}
        if outputs.shape[0] != 0:
            logs["query_loss"] = query_loss
        state = self._with_network_state(adaptation.state, network_state)
        return TaskGradient(gradient, outputs, state, logs)

    _observed = None

    def _direction(self, parameters, adaptation):
        """The gradient, from what adaptation gave."""
        return [
            before - after for before, after in zip(parameters, adaptation.weights, strict=True)
        ]

    def _inner_examples(self, index, support, key, training):
        size = self.batch_size if training else self.test_batch_size
        count = support.targets.shape[0]
        if size is None or (count is not None and count <= size):
            return support
        rows = minibatch_rows(index, size, count or tf.shape(support.targets)[0], key)
        return keras.tree.map_structure(
            lambda tensor: None if tensor is None else tf.gather(tensor, rows), support
        )

    def _support_losses(self, step_losses, weights, adapted, support, network_state):
        first = self._set_loss(weights, network_state, support)
        last = self._set_loss(adapted, network_state, support)
        if self.test_batch_size is None:
            return tf.concat([step_losses, [last]], axis=0)
        # A step's loss is of its minibatch; only the ends are of the whole support set.
        return tf.concat([[first], step_losses[1:], [last]], axis=0)[: tf.size(step_losses) + 1]

    @property
    def _trackers(self):
        return {**super()._trackers, "query_loss": self._query_loss_tracker}

    def _build_slots(self):
        weights = [self.network.trainable_variables[index] for index in self._adapted]
        slots = self.inner_optimizer.init([tf.convert_to_tensor(weight) for weight in weights])
        return [
            self.add_weight(
                shape=tuple(slot.shape),
                dtype=slot.dtype.name,
                initializer="zeros",
                trainable=False,
                name=f"inner_slot_{index}",
            )
            for index, slot in enumerate(slots)
        ]

    def _initial_slots(self, weights, state):
        if not self.carry_moments:
            return super()._initial_slots(weights, state)
        return list(state[self._network_state_count :])

    def _carried_state(self, state, slots):
        return [*self._network_state(state), *slots] if self.carry_moments else state

    def get_config(self):
        return {
            **super().get_config(),
            "inner_optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "batch_size": self.batch_size,
            "test_batch_size": self.test_batch_size,
            "carry_moments": self.carry_moments,
        }


def minibatch_rows(index, size, count, key):
    """Rows of inner minibatch `index`: consecutive parts of one fresh permutation an epoch.

    The stream of examples is permutation after permutation of the set; a minibatch may reach over
    the end of one into the next, as in the authors' code. A set no larger than a minibatch is
    taken whole.

    Args:
        index: of the inner step, int32 [].
        size: of a minibatch.
        count: examples of the task, an int or int32 [].
        key: int32 [2].

    Returns:
        int32 [min(size, count)].
    """

    def drawn():
        positions = index * size + tf.range(size)
        epochs = positions // count
        this, following = (
            tf.gather(_permutation(count, key, epochs[0] + ahead), positions % count)
            for ahead in (0, 1)
        )
        return tf.where(epochs == epochs[0], this, following)

    if isinstance(count, int):
        return drawn() if size < count else tf.range(count)
    return tf.cond(size < count, drawn, lambda: tf.range(count))


def _permutation(count, key, epoch):
    """A permutation of `range(count)`; XLA has no shuffle, but sorts, and to the same bits."""
    epoch_key = tf.random.experimental.stateless_fold_in(key, epoch)
    drawn = tf.random.stateless_uniform(
        [count], epoch_key, minval=None, maxval=None, dtype=tf.int32, alg="philox"
    )
    return tf.argsort(drawn, stable=True)
