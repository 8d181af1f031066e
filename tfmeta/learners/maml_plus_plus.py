"""MAML++ (Antoniou, Edwards, Storkey 2019): remedies for MAML, each a switch of its own."""

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners import normalization as modes
from tfmeta.learners.maml import MAML
from tfmeta.learners.per_step import at_step, earlier_rows, normalization_positions, with_last
from tfmeta.learners.pure_functions import TaskGradient
from tfmeta.learners.step_losses import step_loss_weights


@keras.saving.register_keras_serializable("tfmeta")
class MAMLPlusPlus(MAML):
    """MAML with a loss at every inner step, and rates and normalisation of each step's own.

    With all switches off it is MAML. The paper's other two remedies need no learner: the cosine
    annealing of the outer rate is a Keras schedule, the ensemble of checkpoints an option of the
    evaluation. Annealing goes by `meta_step`, which is state of the learner and so part of every
    checkpoint.

    More steps than in training go on with what belongs to the last trained step: its rates, its
    scale and centre, its statistics. (The authors' code indexes beyond its arrays there.)

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: where the learned rates start, or a dict from patterns to rates.
        inner_steps: n, in training; 1 or more.
        multi_step_loss_steps: meta-steps in which the query losses after all inner steps count,
            by `step_loss_weights`; afterwards only the last one does. 0: always.
        first_order_steps: meta-steps at the start that leave second derivatives out. 0: none.
        learn_rates: whether each weight that adapts has a learned rate for each step.
        per_step_weights: whether batch normalisation has a learned scale and centre for each
            step; they do not adapt, whatever `adapted` says. The network's own are those of the
            last step.
        per_step_statistics: whether moving averages are kept for each step, from the support set
            in front of it; a query gets those of the last step, which are the network's own and
            come from query sets. Needs normalization="running": else a set's own statistics are
            taken always (as in the authors' code, which collects averages and leaves them unused).
        adapted: patterns of the weights that adapt; None: all.
        **options: of `MAML`.
    """

    def __init__(
        self,
        network,
        inner_rate=0.1,
        inner_steps=5,
        *,
        multi_step_loss_steps=5000,
        first_order_steps=0,
        learn_rates=True,
        per_step_weights=True,
        per_step_statistics=False,
        adapted=None,
        **options,
    ):
        patterns = [adapted] if isinstance(adapted, str) else list(adapted or ())
        if per_step_weights:
            patterns += _excluded_normalization(network)
        super().__init__(network, inner_rate, inner_steps, adapted=patterns or None, **options)
        self.adapted = adapted
        if inner_steps < 1:
            raise ValueError(
                f"MAML++ needs an inner step or more. Received: inner_steps={inner_steps}."
            )
        if per_step_statistics and self.normalization != "running":
            raise ValueError(
                "Moving averages are used by normalization='running' only. Received: "
                f"per_step_statistics=True with normalization={self.normalization!r}. "
                "Leave per_step_statistics out: a set's own statistics are those of its step."
            )
        self.multi_step_loss_steps = multi_step_loss_steps
        self.first_order_steps = first_order_steps
        self.learn_rates = learn_rates
        self.per_step_weights = per_step_weights
        self.per_step_statistics = per_step_statistics
        self._make_variables(*normalization_positions(network))

    def _make_variables(self, weights, averages):
        several = self.inner_steps > 1
        self._step_weights = weights if self.per_step_weights and several else []
        self._step_averages = averages if self.per_step_statistics and several else []
        variables = [self.network.trainable_variables[index] for index in self._adapted]
        self.rate_variables = [
            self.add_weight(
                shape=(self.inner_steps,),
                dtype=variable.dtype,
                initializer=keras.initializers.Constant(rate),
                name="rate_" + path.replace("/", "_"),
            )
            for variable, path, rate in zip(
                variables if self.learn_rates else [], self.adapted_paths, self._rates, strict=False
            )
        ]
        self.weight_rows, self.average_rows = (
            earlier_rows(self, [of[i] for i in positions], self.inner_steps, name, trainable=learnt)
            for of, positions, name, learnt in (
                (self.network.trainable_variables, self._step_weights, "step_weight", True),
                (self.network.non_trainable_variables, self._step_averages, "step_average", False),
            )
        )
        self.meta_step = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, name="meta_step"
        )

    @property
    def parameter_variables(self):
        """The network's trainable weights, then learned rates [n], then rows [n - 1, ...]."""
        return [*super().parameter_variables, *self.rate_variables, *self.weight_rows]

    @property
    def parameter_paths(self):
        """Paths of the weights, then "rate/..." and "earlier_steps/..." and the path each is of."""
        rates = [f"rate/{path}" for path in self.adapted_paths[: len(self.rate_variables)]]
        rows = [f"earlier_steps/{self.network_paths[index]}" for index in self._step_weights]
        return [*super().parameter_paths, *rates, *rows]

    @property
    def state_variables(self):
        """The network's state, the earlier steps' averages [n - 1, ...], and the meta-step."""
        return [*super().state_variables, *self.average_rows, self.meta_step]

    def task_gradient(self, parameters, task, state, key) -> TaskGradient:
        """Gradient of the (weighted) query loss, by the phase that the meta-step is in."""
        bounds = sorted({self.first_order_steps, self.multi_step_loss_steps} - {0})

        def phase(begins):
            def gradient():
                found = self._phase_gradient(
                    parameters,
                    task,
                    state,
                    key,
                    first_order=self.first_order or begins < self.first_order_steps,
                    multi_step=begins < self.multi_step_loss_steps and self.inner_steps > 1,
                )
                return found, inner.masks_of(found.query_outputs)

            return gradient

        if not bounds:
            return phase(0)()[0]
        passed = tf.reduce_sum(tf.cast(state[-1] >= tf.constant(bounds, tf.int64), tf.int32))
        found, masks = tf.switch_case(passed, [phase(begins) for begins in (0, *bounds)])
        inner.with_mask(found.query_outputs, *masks)
        return found

    def apply_meta_gradient(self, gradients, state):
        """As `MetaLearner`; counts the meta-step: an update, if it accumulates several batches."""
        before = tf.convert_to_tensor(self.optimizer.iterations)
        super().apply_meta_gradient(gradients, state)
        if self.optimizer.gradient_accumulation_steps:
            updates = tf.convert_to_tensor(self.optimizer.iterations) - before
            self.meta_step.assign_add(tf.cast(updates, tf.int64))
        else:
            self.meta_step.assign_add(1)

    def _phase_gradient(self, parameters, task, state, key, *, first_order, multi_step):
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            adaptation = self.adapt_weights(
                parameters,
                task.support,
                self.inner_steps,
                state,
                key,
                observe=list if multi_step or self.per_step_statistics else None,
                training=True,
                first_order=first_order,
            )
            outputs, loss, network_state = self._query(adaptation.weights, state, task)
            if multi_step:
                loss = self._weighted_loss(adaptation.records, loss, state, task)
        gradient = inner.gradient(
            tape,
            loss,
            parameters,
            self.parameter_paths,
            what="query loss",
            # Held fixed, an inner gradient tells its step's scale and centre nothing.
            zero=self.parameter_paths[-len(self.weight_rows) :] if self.weight_rows else (),
        )
        new_state = self._with_network_state(state, network_state)
        if self.per_step_statistics:
            new_state = self._with_averages(new_state, parameters, adaptation, state, task.support)
        return TaskGradient(gradient, outputs, new_state, {"loss": loss})

    def _weighted_loss(self, path, last_loss, state, task):
        """The query losses along the path of weights, weighted by step and meta-step."""
        losses = [
            self._query([weight[done] for weight in path], state, task)[1]
            for done in range(1, self.inner_steps)
        ]
        progress = tf.cast(state[-1], last_loss.dtype) / self.multi_step_loss_steps
        shares = step_loss_weights(progress, self.inner_steps, last_loss.dtype)
        return tf.tensordot(shares, tf.stack([*losses, last_loss]), 1)

    def _with_averages(self, new_state, parameters, adaptation, state, support):
        """The state with the earlier steps' averages moved towards their support statistics."""
        rows = []
        for index in range(self.inner_steps - 1):
            weights, network_state = self._network_of_step(tf.constant(index), parameters, state)
            current = [adaptation.records[position][index] for position in self._adapted]
            rows.append(
                modes.updated_averages(
                    self._pure,
                    self._filled(weights, current),
                    network_state,
                    support.inputs,
                    support.weights,
                )
            )
        first = self._network_state_count
        for number, position in enumerate(self._step_averages if rows else ()):
            new_state[first + number] = tf.stack([row[position] for row in rows])
        return new_state

    def _inner_rates(self, parameters, key):
        if not self.learn_rates:
            return super()._inner_rates(parameters, key)
        return list(parameters[self._weight_count :][: len(self.rate_variables)])

    def _rates_of_step(self, index, rates):
        return [at_step(index, rate) for rate in rates] if self.learn_rates else rates

    def _network_of_step(self, index, parameters, state):
        weights, network_state = super()._network_of_step(index, parameters, state)
        rows = parameters[len(parameters) - len(self.weight_rows) :]
        for position, earlier in zip(self._step_weights, rows, strict=True):
            weights[position] = at_step(index, with_last(earlier, weights[position]))
        rows = state[self._network_state_count :][: len(self.average_rows)]
        for position, earlier in zip(self._step_averages, rows, strict=True):
            last = network_state[position]
            network_state[position] = at_step(index, with_last(earlier, last))
        return weights, network_state

    def get_config(self):
        return {
            **super().get_config(),
            "multi_step_loss_steps": self.multi_step_loss_steps,
            "first_order_steps": self.first_order_steps,
            "learn_rates": self.learn_rates,
            "per_step_weights": self.per_step_weights,
            "per_step_statistics": self.per_step_statistics,
        }


def _excluded_normalization(network):
    """Patterns that keep the weights of batch normalisation from adapting."""
    positions, _ = normalization_positions(network)
    paths = inner.PureNetwork(network).paths
    return ["!" + paths[index] for index in positions]
