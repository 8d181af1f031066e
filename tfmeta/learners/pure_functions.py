"""The two pure functions of a learner: adaptation to a task, and the task's meta-gradient.

Everything else (training, evaluation, `adapt`, the SavedModel) is these, mapped over tasks and
compiled. Lists of tensors follow the learner's `parameter_variables` and `state_variables`.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from tfmeta import inner
from tfmeta.learners import normalization as modes
from tfmeta.learners.task_weights import mean_of_tasks


class Adaptation(NamedTuple):
    """What adapting to one task gives.

    Attributes:
        weights: list of tensors, order of `network.trainable_variables`.
        support_losses: [n + 1], before the first step and after each.
        state: list of tensors, order of `state_variables`.
        records: what was observed before the first step and after each, every tensor
            [n + 1, ...], or None.
        step_losses: [n], the loss that each step descended (of its minibatch, where there is one).
    """

    weights: list
    support_losses: tf.Tensor
    state: list
    records: Any = None
    step_losses: Any = None


class TaskGradient(NamedTuple):
    """What one task contributes to a meta-step.

    Attributes:
        gradient: list of tensors, order of `parameter_variables`.
        query_outputs: the adapted network's raw outputs [Q, ...], with the network's mask where
            it gives one (`inner.mask_of`).
        state: list of tensors, order of `state_variables`.
        logs: dict of scalars to average and report; "loss" is always there.
    """

    gradient: list
    query_outputs: tf.Tensor
    state: list
    logs: dict


class PureFunctions:
    """Mixin: adaptation by gradient steps; a learner adds `task_gradient`.

    What it uses: `network`, `_pure` (the network as a function), `inner_optimizer`, `_adapted`
    (indices of the weights that adapt), `_rates` (one a weight that adapts), `normalization`,
    `inner_loss_function` and `loss_function` (`inner.SetLoss`), `rematerialize`.
    """

    first_order = True
    # Whether the meta-gradient needs second derivatives of the network.
    second_order = False
    # Whether the meta-gradient is one of query losses, which weights of queries change.
    learns_from_queries = True
    # Why adapted weights cannot keep constraints: a clause, or None where they do.
    breaks_constraints = None
    updates_state = False
    chains_state = False

    def adapt_weights(
        self,
        parameters,
        support,
        inner_steps,
        state,
        key,
        rate_scale=1.0,
        observe=None,
        training=False,
        first_order=None,
    ) -> Adaptation:
        """Adapts the weights to one support set.

        Args:
            parameters: list of tensors, order of `parameter_variables`.
            support: `Examples`, inputs [S, ...], targets [S, ...].
            inner_steps: Python int, or an int32 scalar tensor (then a `while_loop`).
            state: list of tensors, order of `state_variables`.
            key: int32 [2], a function of (seed, task index); seeds dropout and minibatches.
            rate_scale: factor of all inner rates.
            observe: None, or a function of a list of weights to a tensor or a list of them,
                evaluated before the first step and after each.
            training: whether this is part of a meta-step (minibatches of training and of test
                may differ).
            first_order: whether derivatives leave the inner gradients out; None: as the learner.
        """
        start = [parameters[index] for index in self._adapted]
        options = {"observe": observe, "training": training, "first_order": first_order}
        return self._descend(
            start, parameters, support, inner_steps, state, key, rate_scale, **options
        )

    def _descend(
        self,
        start,
        parameters,
        support,
        inner_steps,
        state,
        key,
        rate_scale=1.0,
        *,
        observe=None,
        training=False,
        first_order=None,
    ) -> Adaptation:
        """The inner steps of `adapt_weights`, from any values of the weights that adapt."""
        first_order = self.first_order if first_order is None else first_order
        rates = [rate * rate_scale for rate in self._inner_rates(parameters, key)]
        count, number = len(start), len(parameters)
        learned_rates = [rate for rate in rates if tf.is_tensor(rate)]

        def step(index, carry, constants):
            parameters, learned = constants[:number], constants[number:]
            current, slots = carry[:count], carry[count:]
            examples = self._inner_examples(index, support, key, training)
            weights, network_state = self._network_of_step(index, parameters, state)
            loss, gradients = self._inner_gradient(
                index, current, weights, examples, network_state, key
            )
            if first_order:
                gradients = [tf.stop_gradient(value) for value in gradients]
            step_rates = self._rates_of_step(index, learned or rates)
            moved, slots = self.inner_optimizer.update(current, gradients, slots, step_rates)
            moved = self._projection(moved, held=first_order)
            return [*moved, *slots], loss

        def adapted(done, carry):
            """All weights, as they answer queries after `done` steps: those of the last step."""
            weights, _ = self._network_of_step(tf.maximum(done - 1, 0), parameters, state)
            return self._filled(weights, carry[:count])

        carry, step_losses, records = inner.run_steps(
            step,
            [*start, *self._initial_slots(start, state)],
            inner_steps,
            constants=[*parameters, *learned_rates],
            record=observe and (lambda done, carry: observe(adapted(done, carry))),
            unroll=training and not first_order,
            rematerialize=self.rematerialize,
        )
        weights = adapted(inner_steps, carry)
        losses = self._support_losses(
            step_losses,
            parameters[: self._weight_count],
            weights,
            support,
            self._network_state(state),
        )
        new_state = self._carried_state(state, carry[count:])
        return Adaptation(weights, losses, new_state, records, step_losses)

    def query_outputs(
        self, weights, state, query_inputs, support=None, normalization=None, query_weights=None
    ):
        """Raw outputs [Q, ...] of the network with `weights` on query inputs [Q, ...].

        Args:
            weights: list of tensors, order of `network.trainable_variables`.
            state: list of tensors, order of `state_variables`.
            query_inputs: tensor [Q, ...] or dict of tensors.
            support: `Examples`; needed by the inductive normalisation.
            normalization: another mode than the learner's, or None.
            query_weights: [Q] or None; examples of weight 0 leave batch statistics.
        """
        mode = normalization or self.normalization
        network_state = self._network_state(state)
        return self._answers(weights, network_state, query_inputs, support, mode, query_weights)[0]

    def task_gradient(self, parameters, task, state, key) -> TaskGradient:
        """One task's meta-gradient; see the learner."""
        raise NotImplementedError(f"{type(self).__name__} must define task_gradient.")

    # What learners change.

    def _inner_rates(self, parameters, key):
        """One rate (float or tensor) a weight that adapts."""
        return self._rates

    def _rates_of_step(self, index, rates):
        """The rates of inner step `index`, from those of `_inner_rates`."""
        return rates

    def _network_of_step(self, index, parameters, state):
        """All weights before adaptation, and the network's state, as step `index` has them."""
        return list(parameters[: self._weight_count]), self._network_state(state)

    def _initial_slots(self, weights, state):
        return self.inner_optimizer.init(weights)

    def _carried_state(self, state, slots):
        return state

    def _inner_examples(self, index, support, key, training):
        """The examples of inner step `index`."""
        return support

    def _inner_objective(self, loss, current, start):
        """The objective that the inner loop descends, from the loss of the examples."""
        return loss

    def _answers(self, weights, network_state, query_inputs, support, mode, query_weights=None):
        """(outputs [Q, ...], next network state, the network's own losses) of a query set."""
        return modes.query_outputs(
            self._pure,
            mode,
            weights,
            network_state,
            query_inputs,
            support,
            query_weights,
            parallel=self.parallel,
        )

    # Steps of the above.

    def _inner_gradient(self, index, current, weights, examples, network_state, key):
        start = [weights[index] for index in self._adapted]
        step_key = tf.random.experimental.stateless_fold_in(key, index) if self.dropout else None
        with tf.GradientTape() as tape:
            tape.watch(current)
            loss = self._set_loss(self._filled(weights, current), network_state, examples, step_key)
            objective = self._inner_objective(loss, current, start)
        gradients = inner.gradient(
            tape, objective, current, self.adapted_paths, what="support loss"
        )
        return loss, gradients

    def _set_loss(self, weights, network_state, examples, key=None):
        outputs, _, own_losses = self._pure(
            weights,
            network_state,
            examples.inputs,
            batch_statistics=self.normalization != "running",
            example_weights=examples.weights,
            key=key,
        )
        loss = self.inner_loss_function(examples.targets, outputs, examples.weights)
        return inner.with_own_losses(loss, own_losses)

    def _support_losses(self, step_losses, weights, adapted, support, network_state):
        """Losses of the whole support set; those of the steps serve where they are the same."""
        last = self._set_loss(adapted, network_state, support)
        return tf.concat([step_losses, [last]], axis=0)

    def _query(self, weights, state, task):
        """(outputs, query loss, new network state) of the adapted weights."""
        outputs, new_state, own_losses = self._answers(
            weights,
            self._network_state(state),
            task.query.inputs,
            task.support,
            self.normalization,
            task.query.weights,
        )
        loss = self.loss_function(task.query.targets, outputs, task.query.weights)
        return outputs, inner.with_own_losses(loss, own_losses), new_state

    def _filled(self, weights, adapted):
        """All weights, those that adapt replaced."""
        filled = list(weights)
        for index, weight in zip(self._adapted, adapted, strict=True):
            filled[index] = weight
        return filled

    def _network_state(self, state):
        return list(state[: self._network_state_count])

    def _with_network_state(self, state, network_state):
        return [*network_state, *state[self._network_state_count :]]

    @property
    def ways(self):
        """Size of the network's output, the most classes of a task; None where it is not known."""
        shape = getattr(self.network, "output_shape", None)
        return shape[-1] if isinstance(shape, tuple) else None

    @property
    def training_ways(self):
        """The most classes that labels of training tasks tell apart."""
        return self.ways

    @property
    def network_paths(self):
        """Paths of the network's trainable weights, relative to it."""
        return list(self._pure.paths)

    @property
    def adapted_indices(self):
        """Indices, among the network's trainable weights, of those that adapt."""
        return tuple(self._adapted)

    @property
    def adapted_paths(self):
        """Paths of the weights that adapt."""
        return [self._pure.paths[index] for index in self._adapted]


def mean_over_tasks(stacked, previous, weight=None):
    """Mean of state over tasks [T, ...]; integers (counters) move by the rounded mean change.

    Args:
        stacked: list of tensors [T, ...].
        previous: list of tensors, the state that all tasks started from.
        weight: [T], the tasks' weights, or None. Without a task of a weight above 0 the state
            stays as it was.
    """

    def mean(new, old):
        if new.dtype.is_floating:
            found = mean_of_tasks(new, weight)
        else:
            # A change, not a value: large counters are no float64.
            change = tf.cast(new, tf.int64) - tf.cast(old, tf.int64)
            change = tf.round(mean_of_tasks(tf.cast(change, tf.float64), weight))
            found = tf.cast(tf.cast(old, tf.int64) + tf.cast(change, tf.int64), old.dtype)
        return found if weight is None else tf.where(tf.reduce_any(weight > 0), found, old)

    return [mean(new, old) for new, old in zip(stacked, previous, strict=True)]
