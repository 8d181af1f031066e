"""MAML++ (Antoniou, Edwards, Storkey 2019): remedies for MAML, each a switch of its own."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Unpack

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.inner import optimizers
from tfmeta.learners.core.gradient_descent import FixedRates, GradientDescent
from tfmeta.learners.core.gradient_rule import GradientRule, TaskFunctions, TaskGradient
from tfmeta.learners.core.options import OptionsWithNormalization
from tfmeta.learners.core.parts import Group, WeightSpec
from tfmeta.learners.core.per_step import StepNormalization, StepRates, normalization_positions
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.tasks.task import Task


@dataclasses.dataclass(frozen=True)
class PhasedGradient(GradientRule):
    """The gradient of the query loss; early meta-steps take every inner step, or first order.

    Attributes:
        first_order: whether second derivatives are left out in every phase.
        multi_step_loss_steps: meta-steps in which the losses after all inner steps count.
        first_order_steps: meta-steps at the start that leave second derivatives out.
        layers: the layers of the adaptation, whose averages move here; None: it has none.
    """

    first_order: bool
    multi_step_loss_steps: int
    first_order_steps: int
    layers: StepNormalization | None = None
    changes = ("meta_step",)

    @property
    def second_order(self) -> bool:
        """Whether second derivatives of the network are needed."""
        return not self.first_order

    def groups(self, network) -> list[Group]:
        """The number of meta-steps done."""
        step = WeightSpec("meta_step", (), "int64", "zeros", "meta_step")
        return [Group("meta_step", [step], learned=False)]

    def after_updates(self, state, updates) -> Any:
        """The state, with the meta-steps counted."""
        return state._replace(meta_step=[state.meta_step[0] + tf.cast(updates, tf.int64)])

    def task_gradient(
        self, functions: TaskFunctions, parameters, task: Task, state, key
    ) -> TaskGradient:
        """The gradient of the (weighted) query loss, by the phase that the meta-step is in."""
        bounds = sorted({self.first_order_steps, self.multi_step_loss_steps} - {0})

        def phase(begins):
            def gradient():
                found = self._phase_gradient(
                    functions,
                    parameters,
                    task,
                    state,
                    key,
                    first_order=self.first_order or begins < self.first_order_steps,
                    multi_step=begins < self.multi_step_loss_steps and functions.inner_steps > 1,
                )
                return found, inner.masks_of(found.query_outputs)

            return gradient

        if not bounds:
            return phase(0)()[0]
        reached = state.meta_step[0] >= tf.constant(bounds, tf.int64)
        passed = tf.reduce_sum(tf.cast(reached, tf.int32))
        found, masks = tf.switch_case(passed, [phase(begins) for begins in (0, *bounds)])
        inner.with_mask(found.query_outputs, *masks)
        return found

    def _phase_gradient(self, functions, parameters, task, state, key, *, first_order, multi_step):
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            adapted = functions.adapt(
                parameters,
                task.support,
                state,
                key,
                first_order=first_order,
                observe=list if multi_step or self.layers else None,
            )
            answers = functions.network.query(adapted.weights, state.network, task)
            loss = answers.loss
            if multi_step:
                loss = self._weighted_loss(functions, adapted.records, loss, state, task)
        gradient = functions.gradient(tape, loss, parameters)
        new_state = state._replace(network=answers.network_state)
        if self.layers:
            context = functions.context(parameters, task.support, state, key)
            averages = self.layers.moved_averages(context, adapted.records)
            new_state = new_state._replace(step_averages=averages)
        return TaskGradient(gradient, answers.outputs, new_state, {"loss": loss})

    def _weighted_loss(self, functions, path, last_loss, state, task):
        """The query losses along the path of weights, weighted by step and meta-step."""
        steps, dtype = functions.inner_steps, last_loss.dtype
        losses = [
            functions.network.query([weight[done] for weight in path], state.network, task).loss
            for done in range(1, steps)
        ]
        progress = tf.cast(state.meta_step[0], dtype) / self.multi_step_loss_steps
        shares = step_loss_weights(progress, steps, dtype)
        return tf.tensordot(shares, tf.stack([*losses, last_loss]), 1)


@keras.saving.register_keras_serializable("tfmeta")
class MAMLPlusPlus(MetaLearner):
    """MAML with a loss at every inner step, and rates and normalisation of each step's own.

    With all switches off it is MAML. The paper's other two remedies need no learner: the cosine
    annealing of the outer rate is a Keras schedule, the ensemble of checkpoints an option of the
    evaluation. Annealing goes by `meta_step`, which is state of the learner and so part of every
    checkpoint.

    More steps than in training go on with what belongs to the last trained step: its rates, its
    scale and centre, its statistics. (The authors' code indexes beyond its arrays there.)

    Example:
        >>> import tfmeta
        >>> network = tfmeta.networks.mlp(hidden=(8,))
        >>> learner = tfmeta.MAMLPlusPlus(network, inner_rate=0.1, inner_steps=3)
        >>> tuple(learner.variables_of("rates")[0].shape)[0]  # a rate for each inner step
        3

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
        adapted: patterns of the weights that adapt, or layers of the network; None: all.
        first_order: whether to leave second derivatives out in every phase.
        inner_optimizer: "sgd", "momentum", "adam", or an instance of `tfmeta.inner.SGD`, `.Adam`.
        **options: of `MetaLearner`.
    """

    chooses = ("adaptation", "gradient_rule")

    def __init__(
        self,
        network: keras.Model,
        inner_rate: Any = 0.1,
        inner_steps: int = 5,
        *,
        multi_step_loss_steps: int = 5000,
        first_order_steps: int = 0,
        learn_rates: bool = True,
        per_step_weights: bool = True,
        per_step_statistics: bool = False,
        adapted: str | keras.layers.Layer | Sequence[str | keras.layers.Layer] | None = None,
        first_order: bool = False,
        inner_optimizer: Any = "sgd",
        **options: Unpack[OptionsWithNormalization],
    ):
        if inner_steps < 1:
            raise ValueError(
                f"MAML++ needs an inner step or more. Received: inner_steps={inner_steps}."
            )
        normalization = options.get("normalization", "transductive")
        if per_step_statistics and normalization != "running":
            raise ValueError(
                "Moving averages are used by normalization='running' only. Received: "
                f"per_step_statistics=True with normalization={normalization!r}. "
                "Leave per_step_statistics out: a set's own statistics are those of its step."
            )
        optimizer = optimizers.get(inner_optimizer)
        rates = StepRates(inner_rate, inner_steps) if learn_rates else FixedRates(inner_rate)
        layers = StepNormalization(inner_steps, per_step_weights, per_step_statistics)
        adapted = inner.patterns_of(network, adapted, argument="adapted")
        patterns = list(adapted or ())
        if per_step_weights:
            patterns += _excluded_normalization(network)
        super().__init__(
            network,
            GradientDescent(rates=rates, optimizer=optimizer, layers=layers),
            PhasedGradient(
                first_order,
                multi_step_loss_steps,
                first_order_steps,
                layers if per_step_statistics else None,
            ),
            inner_steps=inner_steps,
            adapted=patterns or None,
            **options,
        )
        self.adapted = adapted
        self.multi_step_loss_steps = multi_step_loss_steps
        self.first_order_steps = first_order_steps
        self.learn_rates = learn_rates
        self.per_step_weights = per_step_weights
        self.per_step_statistics = per_step_statistics
        self.first_order = first_order
        self.inner_optimizer = optimizer

    @property
    def meta_step(self) -> tf.Variable:
        """The number of meta-steps done, int64 []."""
        return self.variables_of("meta_step")[0]

    @property
    def rate_variables(self) -> list:
        """The learned rates [n], one a weight that adapts; empty without `learn_rates`."""
        return self.variables_of("rates") if self.learn_rates else []

    @property
    def weight_rows(self) -> list:
        """Scales and centres [n - 1, ...] of the steps before the last."""
        return self.variables_of("step_weights")

    @property
    def average_rows(self) -> list:
        """Moving averages [n - 1, ...] of the steps before the last."""
        return self.variables_of("step_averages")


def _excluded_normalization(network):
    """Patterns that keep the weights of batch normalisation from adapting."""
    positions, _ = normalization_positions(network)
    paths = inner.PureNetwork(network).paths
    return ["!" + paths[index] for index in positions]


# Of an equal share: what is left of the earlier steps at the end of the annealing (their code).
_LEAST = 0.03


def step_loss_weights(progress, steps, dtype="float32"):
    """Weights [steps] of the query losses after steps 1, ..., n; their sum is 1.

    At first every step counts 1/n. The share of the earlier ones falls linearly, to 0.03/n, and
    the last step gains what they lose: v_i = max((1 - p) / n, 0.03 / n) for i < n, v_n the rest.

    Example:
        >>> from tfmeta.learners.maml_plus_plus import step_loss_weights
        >>> [round(float(weight), 3) for weight in step_loss_weights(0.5, 4)]
        [0.125, 0.125, 0.125, 0.625]

    Args:
        progress: p, from 0 at the start of the annealing to 1 at its end; a number, or a tensor
            [] of `dtype`.
        steps: n, number of inner steps.
        dtype: of the result.
    """
    progress = tf.convert_to_tensor(progress, dtype)
    earlier = tf.maximum(1 - progress, tf.constant(_LEAST, dtype)) / steps
    return tf.concat([tf.repeat(earlier, steps - 1), [1 - (steps - 1) * earlier]], axis=0)
