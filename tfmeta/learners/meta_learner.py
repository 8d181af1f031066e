"""`MetaLearner`: a Keras model whose batches are tasks, composed of two parts."""

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners import checks
from tfmeta.learners.answers import batch_answers, outlier_scores
from tfmeta.learners.answers.adapted_model import AdaptedModel
from tfmeta.learners.batch import any_ways, batch_checks, task_keys
from tfmeta.learners.batch.batches import batch_tensors, plain_batch
from tfmeta.learners.batch.errors import in_words
from tfmeta.learners.core.adaptation import Adaptation, Adapted, TaskContext, adapt
from tfmeta.learners.core.embedding import Embedding
from tfmeta.learners.core.gradient_descent import FixedRates, GradientDescent
from tfmeta.learners.core.gradient_rule import (
    GradientRule,
    QueryGradient,
    TaskGradient,
)
from tfmeta.learners.core.options import (
    CompileOptions,
    EvaluateOptions,
    ExportLimits,
    FitOptions,
    PredictOptions,
    PresetOptions,
    ServableOptions,
)
from tfmeta.learners.core.parts import only_adapted, parts_of
from tfmeta.learners.core.task_network import TaskNetwork
from tfmeta.learners.core.variables import make_groups, without
from tfmeta.learners.keras_model import (
    compiling,
    diverged,
    execution,
    fitting,
    keras_steps,
    own_steps,
    saving,
)
from tfmeta.learners.keras_model.arguments import (
    check_arguments,
    check_settled,
    library_arguments,
    read_arguments,
)
from tfmeta.learners.keras_model.saving import UnmergedWeights, low_rank_layers
from tfmeta.tasks.task import Examples, Task, unpack_tasks

if TYPE_CHECKING:
    from tfmeta.saved_model import Servable


@keras.saving.register_keras_serializable("tfmeta")
class MetaLearner(keras.Model):
    """Wraps a network; `fit` learns the initialisation from which it adapts to new tasks.

    A batch is a batch of tasks, `((support_x, support_y, query_x), query_y)` with a leading axis
    T on every tensor. `predict` adapts to the support set of each task and answers its queries.

    A learner is two pure functions of one task, each put together from parts: `adaptation` says
    how a support set moves the weights, `gradient_rule` what the query set says about the
    initialisation. `tfmeta.MAML`, `tfmeta.Reptile` and the others are this class with parts
    chosen.

    Example:
        >>> import tfmeta
        >>> from tfmeta import parts
        >>> learner = tfmeta.MetaLearner(
        ...     tfmeta.networks.mlp(hidden=(8,)),
        ...     parts.GradientDescent(rates=parts.FixedRates(0.01)),
        ...     parts.QueryGradient(),
        ... )  # tfmeta.MAML(network, inner_rate=0.01)
        >>> learner.adapted_paths
        ['hidden_1/kernel', 'hidden_1/bias', 'head/kernel', 'head/bias']

    Args:
        network: a built `keras.Model` with one output. It is wrapped, not copied: it stays usable
            by itself and shares its weights.
        adaptation: how a support set moves the weights; None: gradient descent at a rate of 0.01.
        gradient_rule: how a query set becomes a gradient; None: the gradient of the query loss
            through the inner steps.
        inner_steps: number of inner steps in training.
        test_inner_steps: number of inner steps elsewhere; None: as in training.
        adapted: what adapts: patterns of weights' paths (a leading "!" leaves out), layers of the
            network, or a list of both; None: all weights.
        normalization: "transductive", "inductive" or "running" (`tfmeta.inner.normalization`).
        inner_loss: a Keras loss for the inner loop; None: the loss given to `compile`.
        dropout: whether dropout is on while adapting (a fresh mask a task and step).
        seed: of dropout masks, inner minibatches and noise; any whole number.
        parallel: "auto", "vectorized" or "sequential" (`tfmeta.parallel.map_tasks`). "auto": by
            the size of the tasks.
        tasks_per_pass: at most so many tasks in one vectorised pass, or at a time, to bound memory.
        rematerialize: recompute inner steps in the backward pass, to bound memory.
        meta_gradient_clip: clip each entry of the meta-gradient to plus or minus this.
        diverged_tasks: what a meta-step does with a task whose loss or gradient is not finite.
            "refuse": the step is refused, with the index of the task. "skip": the task's gradient
            counts as 0, its loss is left out, its query outputs count as 0, and the log "diverged"
            has the share of such tasks; a step without any other task is refused.
        name: of the model.

    Raises:
        ValueError: if an argument is out of its range, or the network is not built.
    """

    # Arguments that a class sets for its base, and whether it refuses them in words of its own.
    chooses: tuple[str, ...] = ()
    refuses_chosen = False

    def __new__(cls, *arguments, **options):
        check_arguments(cls, options)
        # Keras reads the constructor's own arguments, which a decorator (gin's) hides from it.
        constructor: Any = vars(cls).get("__init__")
        if hasattr(constructor, "__wrapped__"):
            constructor.__signature__ = inspect.signature(constructor)
        return super().__new__(cls, *arguments, **options)

    def __init__(
        self,
        network: keras.Model,
        adaptation: Adaptation | None = None,
        gradient_rule: GradientRule | None = None,
        *,
        inner_steps: int = 1,
        test_inner_steps: int | None = None,
        adapted: str | keras.layers.Layer | Sequence[str | keras.layers.Layer] | None = None,
        normalization: str = "transductive",
        inner_loss: Any = None,
        dropout: bool = False,
        seed: int = 0,
        parallel: str = "auto",
        tasks_per_pass: int | None = None,
        rematerialize: bool = False,
        meta_gradient_clip: float | None = None,
        diverged_tasks: str = "refuse",
        name: str | None = None,
    ):
        checks.check_network(network)
        checks.check_part("adaptation", adaptation, Adaptation)
        checks.check_part("gradient_rule", gradient_rule, GradientRule)
        checks.check_options(
            inner_steps=inner_steps,
            test_inner_steps=test_inner_steps,
            normalization=normalization,
            parallel=parallel,
            meta_gradient_clip=meta_gradient_clip,
        )
        diverged.check(diverged_tasks)
        task_keys.initial_seed(seed)
        # Inputs reach the network as they are: it casts them itself, and labels stay integers.
        super().__init__(name=name, autocast=False)
        self.network = network
        self.adaptation = adaptation or GradientDescent(rates=FixedRates(0.01))
        self.gradient_rule = gradient_rule or QueryGradient()
        self.inner_steps = inner_steps
        self.test_inner_steps = inner_steps if test_inner_steps is None else test_inner_steps
        self.adapted = inner.patterns_of(network, adapted, argument="adapted")
        self.normalization = normalization
        self.inner_loss = inner_loss
        self.dropout = dropout
        self.seed = seed
        self.parallel = parallel
        self.tasks_per_pass = tasks_per_pass
        self.rematerialize = rematerialize
        self.meta_gradient_clip = meta_gradient_clip
        self.diverged_tasks = diverged_tasks
        # Tasks that `fit` has seen, saved with the weights; and those of the running `evaluate`.
        self.trained_tasks = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.evaluated_tasks = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.loss_function = self.inner_loss_function = None
        self.parts = tuple(parts_of(self.adaptation, self.gradient_rule))
        pure = inner.PureNetwork(network, dropout=dropout)
        checks.check_layers(pure)
        self.wrapped_paths = tuple(pure.paths)
        self.wrapped_layers = checks.layers_of(network)
        embeds = any(part.needs_embedding for part in self.parts)
        indices = tuple(inner.select(pure.paths, self.adapted, argument="adapted"))
        self.task_network = self.adaptation.task_network(
            pure=pure,
            adapted=indices,
            trunk=inner.find_trunk(pure, indices) if only_adapted(self.adaptation) else None,
            normalization=normalization,
            parallel=parallel,
            embedding=Embedding(network) if embeds else None,
        )
        for part in self.parts:
            part.check_network(self.task_network)
        if self.adapted is not None:
            checks.check_effect(self.task_network, self.adapted)
        groups = [group for part in self.parts for group in part.groups(self.task_network)]
        self.optional_groups = tuple(group.name for group in groups if group.gradient_optional)
        self.parameter_groups, self.state_groups = make_groups(self, pure, groups)
        self.gradient_rule.check_parameters(self.parameter_groups.names[1:])
        self.further_trackers = {
            name: keras.metrics.Mean(name=name) for name in self.gradient_rule.further_logs
        }
        self.task_functions: Any = None  # `TaskFunctions`, from `compile` on
        self.compiled_functions: dict[tuple, Any] = {}
        # A function: Keras would track metrics in an attribute as further metrics of the model.
        self.given_metrics: Callable[[], dict] = dict
        if low_rank_layers(network):
            self.unmerged_weights = UnmergedWeights(network)
        self.settled_arguments = read_arguments(type(self))
        self.built = True

    @classmethod
    def from_preset(
        cls,
        source: str | os.PathLike,
        *,
        sha256: str | None = None,
        **options: Unpack[PresetOptions],
    ) -> Self:
        """A compiled learner with learned weights, by name, path or URL.

        Example:

        >>> import numpy as np, tfmeta
        >>> learner = tfmeta.MAML.from_preset("sinusoid_maml")
        >>> x = np.float32([[-1.0], [0.0], [1.0]])
        >>> adapted = learner.adapt(x, np.sin(x))
        >>> adapted.predict(x, verbose=0).shape
        (3, 1)

        Args:
            source: a name of `tfmeta.presets.preset_names()`; a path, which has a "/" or ends in
                ".npz", of a file or of a folder with preset.npz; or a URL.
            sha256: of the file, 64 hexadecimal digits; a URL needs it.
            **options: arguments of the class's constructor that replace the preset's, such as
                `inner_steps`.

        Raises:
            FileNotFoundError: if there is no such preset.
            TypeError: for an option that the class does not have.
            ValueError: if the preset's learner is not of this class; if the hash is another, or
                lacks for a URL; or if the file holds more than arrays and JSON.
        """
        from tfmeta.learners.keras_model.preset_learner import learner_of
        from tfmeta.presets import open_preset

        return learner_of(cls, open_preset(source, sha256), options)

    # Flat lists: what Keras, optimisers, checkpoints and SavedModels see.

    @property
    def parameter_variables(self) -> list:
        """What the outer optimiser trains: the network's trainable weights, then the learner's."""
        return self.parameter_groups.variables

    @property
    def parameter_paths(self) -> list[str]:
        """Path of each of `parameter_variables`, relative to the network."""
        return self.parameter_groups.paths

    @property
    def state_variables(self) -> list:
        """What meta-steps change without a derivative, or leave alone."""
        return self.state_groups.variables

    # Keras pairs these with the optimizer's variables, one by one.

    @property
    def trainable_variables(self) -> list:
        """`parameter_variables`, which are those of the optimizer in its order."""
        return self.parameter_variables if self.trainable else []

    trainable_weights = trainable_variables

    @property
    def non_trainable_variables(self) -> list:
        """All other variables of learner and network."""
        return without(self.variables, self.trainable_variables)

    @property
    def non_trainable_weights(self) -> list:
        """All other weights of learner and network."""
        return without(self.weights, self.trainable_variables)

    def variables_of(self, group: str) -> list:
        """Variables of a group of the parameters or the state, by the name that a part gave it."""
        parameters, state = self.parameter_groups, self.state_groups
        groups = parameters if group in parameters.names else state
        return groups.variables_of(group)

    def network_state_of(self, state: Sequence[tf.Tensor]) -> list:
        """Of the learner's state, the network's."""
        return self.state_groups.pack(state).network

    # The two pure functions of one task.

    def task_context(
        self,
        parameters: Sequence[tf.Tensor],
        support: Examples,
        state: Sequence[tf.Tensor],
        key: tf.Tensor,
    ) -> TaskContext:
        """One task, as the learner's parts see it; arguments as of `adapt_weights`."""
        return TaskContext(
            self.task_network,
            self.parameter_groups.pack(parameters),
            self.state_groups.pack(state),
            support,
            key,
            first_order=not self.gradient_rule.second_order,
        )

    def adapt_weights(
        self,
        parameters: Sequence[tf.Tensor],
        support: Examples,
        inner_steps: int | tf.Tensor,
        state: Sequence[tf.Tensor],
        key: tf.Tensor,
        *,
        rate_scale: Any = 1.0,
        observe: Callable[[list], Any] | None = None,
        samples: int | None = None,
        network: TaskNetwork | None = None,
        ways: int | None = None,
    ) -> Adapted:
        """Adapts the weights to one support set.

        Args:
            parameters: list of tensors, order of `parameter_variables`.
            support: inputs [S, ...], targets [S, ...], weights [S] or None.
            inner_steps: Python int, or an int32 scalar tensor (then a `while_loop`).
            state: list of tensors, order of `state_variables`.
            key: int32 [2], a function of the seed and the task's index.
            rate_scale: factor of all inner rates.
            observe: None, or a function of a list of weights to a tensor or a structure of
                tensors, evaluated before the first step and after each.
            samples: number of weights that a learner which samples draws; None: its own.
            network: None, or `task_network` with what is known of the task (`knowing_queries`).
            ways: number of outputs, of a learner that allows any (`any_ways`); None: the network's.

        Returns:
            `Adapted`, whose state is a list of tensors.
        """
        network = (network or self.task_network).with_samples(samples).with_ways(ways)
        context = self.task_context(parameters, support, state, key)
        weights = network.fitted(context.parameters.network)
        found = adapt(
            self.adaptation,
            context.replaced(
                network=network,
                parameters=context.parameters._replace(network=weights),
                rate_scale=rate_scale,
            ),
            inner_steps,
            observe=observe,
            rematerialize=self.rematerialize,
        )
        return found._replace(state=tf.nest.flatten(found.state))

    def task_gradient(
        self,
        parameters: Sequence[tf.Tensor],
        task: Task,
        state: Sequence[tf.Tensor],
        key: tf.Tensor,
    ) -> TaskGradient:
        """What one task contributes to a meta-step.

        Args:
            parameters: list of tensors, order of `parameter_variables`.
            task: support and query set.
            state: list of tensors, order of `state_variables`.
            key: int32 [2], a function of the seed and the task's index.

        Returns:
            `TaskGradient`, whose gradient and state are lists of tensors.
        """
        found = self.gradient_rule.task_gradient(
            self.task_functions,
            self.parameter_groups.pack(parameters),
            task,
            self.state_groups.pack(state),
            key,
        )
        return found._replace(
            gradient=tf.nest.flatten(found.gradient), state=tf.nest.flatten(found.state)
        )

    def query_outputs(
        self,
        weights: Sequence[tf.Tensor],
        state: Sequence[tf.Tensor],
        query_inputs: Any,
        support: Examples | None = None,
        normalization: str | None = None,
        query_weights: tf.Tensor | None = None,
        network: TaskNetwork | None = None,
    ) -> tf.Tensor:
        """Raw outputs [Q, ...] of the network with adapted weights.

        Args:
            weights: list of tensors, order of `network.trainable_variables`.
            state: list of tensors, order of `state_variables`.
            query_inputs: tensor [Q, ...], or a structure of such tensors.
            support: the support set; the inductive normalisation needs it.
            normalization: another mode than the learner's, or None.
            query_weights: [Q] or None; examples of weight 0 leave batch statistics.
            network: None, or `task_network` with what is known of the task (`knowing_queries`).
        """
        network_state = self.network_state_of(state)
        return (
            (network or self.task_network)
            .for_weights(weights)
            .answers(weights, network_state, query_inputs, support, query_weights, normalization)[0]
        )

    def query_loss(
        self, weights: Sequence[tf.Tensor], state: Sequence[tf.Tensor], task: Task
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Raw outputs [Q, ...] and loss [] of a task's queries at adapted weights."""
        network = self.task_network.for_weights(weights)
        found = network.query(weights, self.network_state_of(state), task)
        return found.outputs, found.loss

    def initial_weights(self, parameters: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The weights before adaptation, as `query_outputs` takes them."""
        return self.task_network.initial(self.parameter_groups.pack(parameters).network)

    # What Keras calls.

    def compile(
        self,
        optimizer: Any = "adam",
        loss: Any = None,
        metrics: Any = None,
        *,
        jit_compile: bool = False,
        **options: Unpack[CompileOptions],
    ) -> None:
        """Configures training, as `keras.Model.compile`.

        Args:
            optimizer: of the initialisation: a Keras optimizer or its name.
            loss: one Keras loss, its name, or a function of (targets, outputs); the loss of a set
                is its (weighted) mean.
            metrics: of the query outputs [T, Q, ...].
            jit_compile: whether to compile steps by XLA (on a CPU that may be faster for small
                dense networks and is slower for convolutional ones; `tfmeta.train` measures it).
            **options: of `keras.Model.compile`.

        Raises:
            ValueError: for a loss, an optimizer or `loss_weights` that a learner can't honour.
        """
        checks.check_loss(loss)
        factor = checks.check_loss_weights(options.get("loss_weights"))
        if "loss_weights" in options:
            options["loss_weights"] = None if options["loss_weights"] is None else factor
        # Under the policy "mixed_float16" Keras would scale the loss, which no inner step does.
        options["auto_scale_loss"] = False
        super().compile(
            optimizer=optimizer, loss=loss, metrics=metrics, jit_compile=jit_compile, **options
        )
        compiling.set_losses(self, loss, factor, xla=bool(self.jit_compile))
        self.settled_arguments = library_arguments(type(self))
        self.compiled_functions = {}
        self.given_metrics = functools.partial(
            dict, metrics=metrics, weighted_metrics=options.get("weighted_metrics")
        )
        self.optimizer.build(self.parameter_variables)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """The loss of answers, as `fit` and `evaluate` have it, for a `train_step` of your own.

        Args:
            x: `(support_x, support_y, query_x)`, by which losses of the network's own are found.
            y: query targets [T, Q, ...].
            y_pred: query outputs [T, Q, ...], as `learner(x)` gives them.
            sample_weight: of queries [T, Q] or tasks [T], or None.
            training: as of `keras.Model.compute_loss`; changes nothing.

        Returns:
            The mean over tasks of the compiled loss, [].

        Raises:
            ValueError: where the network has losses of its own, which are of adapted weights.
        """
        return own_steps.compute_loss(self, x, y, y_pred, sample_weight)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict:
        """As `keras.Model.compute_metrics`, of query outputs [T, Q, ...] as one set of queries."""
        return own_steps.compute_metrics(self, y, y_pred, sample_weight)

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """Adapts to each task and answers its queries: raw outputs [T, Q, ...]."""
        return batch_answers.query_answers(self, inputs)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        **options: Unpack[FitOptions],
    ) -> keras.callbacks.History:
        """As `keras.Model.fit`, on a stream of tasks; an endless one needs `steps_per_epoch`.

        `class_weight` weights each query by its class, within its task.
        """
        x, y, others = fitting.before_fit(self, x, y, dict(options))
        with in_words():
            return super().fit(x, y, batch_size, epochs, **others)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        *,
        steps: int | None = None,
        **options: Unpack[EvaluateOptions],
    ) -> Any:
        """As `keras.Model.evaluate`; an endless stream needs `steps`.

        Warns where the loss is not finite, and says whether the weights are.
        """
        x, y, others = fitting.before_evaluate(self, x, y, steps, dict(options))
        with in_words():
            results = super().evaluate(x, y, batch_size, steps=steps, **others)
        if isinstance(results, (list, dict)) and not results:
            raise batch_checks.no_tasks("Evaluating on")
        batch_checks.warn_if_diverged(self, results)
        return results

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        *,
        steps: int | None = None,
        **options: Unpack[PredictOptions],
    ) -> Any:
        """As `keras.Model.predict`: raw outputs [T, Q, ...]; an endless stream needs `steps`.

        A learner that allows any number of ways (`any_ways`) gives arrays of tasks an output more
        for each label beyond the network's.
        """
        most = any_ways.ways_of_arrays(self, x)
        x = fitting.before_predict(self, x, steps, most)
        if most is not None:
            any_ways.check_plain(options)
            return batch_answers.wide_answers(self, x, most, batch_size)
        with in_words(), batch_checks.refusing_no_batch("Predicting on"):
            return super().predict(x, batch_size, steps=steps, **options)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """As `keras.Model.train_on_batch`: one meta-step."""
        x, y, sample_weight = batch_tensors(*plain_batch(x, y, sample_weight))
        fitting.prepare(self, x, y, sample_weight, trains=True)
        if class_weight is not None:
            weights = fitting.checked_class_weights(self, class_weight, sample_weight)
            sample_weight = weights.of(y)
        with in_words():
            return super().train_on_batch(x, y, sample_weight, return_dict=return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """As `keras.Model.test_on_batch`, on one batch of tasks."""
        x, y, sample_weight = batch_tensors(*plain_batch(x, y, sample_weight))
        fitting.prepare(self, x, y, sample_weight)
        self.evaluated_tasks.assign(0)
        with in_words():
            return super().test_on_batch(x, y, sample_weight, return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """As `keras.Model.predict_on_batch`: raw outputs [T, Q, ...]."""
        with in_words():
            return super().predict_on_batch(batch_tensors(plain_batch(x)[0])[0])

    def train_step(self, data: Any) -> dict[str, Any]:
        """One meta-step, for `fit`."""
        return keras_steps.train_step(self, data)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Adapts to each task and measures its query set, for `evaluate`."""
        return keras_steps.test_step(self, data)

    def make_train_function(self, force: bool = False) -> None:
        """As `keras.Model`'s; what it makes checks a batch in front of each trace."""
        fitting.make_train_function(self, super().make_train_function, force)

    def make_test_function(self, force: bool = False) -> None:
        """As `keras.Model`'s; what it makes checks a batch in front of each trace."""
        make = super().make_test_function
        fitting.make_guarded(self, "test_function", make, force, trains=True)

    def make_predict_function(self, force: bool = False) -> None:
        """As `keras.Model`'s; what it makes checks a batch in front of each trace."""
        make = super().make_predict_function
        fitting.make_guarded(self, "predict_function", make, force, trains=False)

    def _maybe_symbolic_build(self, *arguments, **options):
        # Keras adds up the replicas' shares of a batch there, which fails where they differ in
        # size. A learner is built with its network; its metrics by `build_metrics`.
        if self._compile_metrics is not None and not self._compile_metrics.built:
            super()._maybe_symbolic_build(*arguments, **options)

    # Batches of tasks.

    def task_weights(
        self,
        support_x: Any,
        support_y: Any,
        inner_steps: int | None = None,
        support_weights: Any = None,
    ) -> list[tf.Tensor]:
        """Adapted weights of each task.

        Args:
            support_x: [T, S, ...] or a dict.
            support_y: [T, S, ...].
            inner_steps: None: `test_inner_steps`.
            support_weights: [T, S] or None.

        Returns:
            List of tensors [T, *shape], order of `network.trainable_variables`.
        """
        return batch_answers.task_weights(self, support_x, support_y, inner_steps, support_weights)

    def meta_gradient(
        self, x: Any, y: Any, sample_weight: Any = None
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """The meta-gradient of a batch of tasks, before clipping.

        Args:
            x: `(support_x, support_y, query_x)`, each with a leading axis T.
            y: query targets [T, Q, ...].
            sample_weight: query weights [T, Q] or None.

        Returns:
            List of tensors (mean over tasks, order of `parameter_variables`), and the query
            outputs [T, Q, ...].
        """
        return batch_answers.meta_gradient(self, x, y, sample_weight)

    def compute_meta_gradient(
        self, data: Any, task_index: int | tf.Tensor = 0
    ) -> tuple[list[tf.Tensor], list[tf.Tensor], dict[str, tf.Tensor]]:
        """The meta-gradient of one batch, without side effects on weights or state.

        For own training loops, under `tf.distribute.Strategy.run` too; metrics are updated.

        Args:
            data: a batch as a task stream gives it.
            task_index: index of the batch's first task among all that training sees, int64 [];
                dropout masks, minibatches and noise are functions of (seed, task index).

        Returns:
            Gradients (list, mean over tasks, not clipped), new state (list), and logs (dict of
            scalars: "loss", ...).
        """
        return keras_steps.compute_meta_gradient(self, data, task_index)

    def apply_meta_gradient(
        self, gradients: Sequence[tf.Tensor], state: Sequence[tf.Tensor]
    ) -> None:
        """Clips the meta-gradient, applies it, and assigns the new state.

        Args:
            gradients: list of tensors, order of `parameter_variables`.
            state: list of tensors, order of `state_variables`.

        Raises:
            ValueError: in the replica context of several replicas, where Keras' optimizers sum.
        """
        keras_steps.apply_meta_gradient(self, gradients, state)

    def adaptation_curve(
        self,
        x: Any,
        inner_steps: int | None = None,
        normalization: str | None = None,
        sample_weight: Any = None,
        first_task: int = 0,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Query outputs after 0, 1, ..., n inner steps.

        Args:
            x: `(support_x, support_y, query_x)`, each with a leading axis T.
            inner_steps: n; None: `test_inner_steps`.
            normalization: another mode than the learner's, or None.
            sample_weight: query weights [T, Q] or None; queries of weight 0 leave batch
                statistics.
            first_task: index of the first task among all of the evaluation, of which its noise and
                minibatches are functions.

        Returns:
            Query outputs [T, n + 1, Q, ...], with the network's mask where it gives one (as
            Keras keeps it: `outputs._keras_mask`), and support losses [T, n + 1].
        """
        return batch_answers.adaptation_curve(
            self, x, inner_steps, normalization, sample_weight, first_task
        )

    def outlier_scores(
        self,
        x: Any,
        scores: str | Sequence[str] = outlier_scores.ENERGY,
        inner_steps: int | None = None,
        sample_weight: Any = None,
        first_task: int = 0,
    ) -> Any:
        """How strange each query is to the classes of its task: larger for a stranger.

        Example:
            >>> import keras, tfmeta
            >>> learner = tfmeta.R2D2(tfmeta.networks.nonconv(ways=5))
            >>> learner.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            >>> x, y = next(iter(tfmeta.tasks.glyphs("test", queries=3).batch(2)))
            >>> learner.outlier_scores(x).shape
            TensorShape([2, 15])

        Args:
            x: `(support_x, support_y, query_x)`, each with a leading axis T.
            scores: "energy"; "max_logit", which probabilistic learners and `MatchingNetwork` have
                alone; or "nearest_prototype" of a `PrototypicalNetwork`; or several of them
                (`tfmeta.learners.answers.outlier_scores`).
            inner_steps: None: `test_inner_steps`.
            sample_weight: query weights [T, Q] or None; queries of weight 0 leave batch
                statistics.
            first_task: index of the first task among all of an evaluation.

        Returns:
            A tensor [T, Q]; of several scores a dict of them by name.

        Raises:
            ValueError: for a learner that does not tell classes apart by logits, or an unknown
                score.
        """
        return batch_answers.query_outlier_scores(
            self, x, scores, inner_steps, sample_weight, first_task
        )

    def adapt(self, support_x: Any, support_y: Any, inner_steps: int | None = None) -> AdaptedModel:
        """Adapts to one task.

        Args:
            support_x: [S, ...] or a dict.
            support_y: [S, ...].
            inner_steps: None: `test_inner_steps`.

        Returns:
            A `keras.Model` from query inputs [Q, ...] to the adapted network's raw outputs, which
            keeps the learner's normalisation. A learner that allows any number of ways
            (`any_ways`) gives it an output more for each label beyond the network's.
        """
        return batch_answers.adapt(self, support_x, support_y, inner_steps)

    def servable(
        self,
        normalization: str | None = None,
        output: str | None = None,
        **options: Unpack[ServableOptions],
    ) -> "Servable":
        """What the SavedModel writer needs of this learner; see `tfmeta.saved_model.Servable`."""
        from tfmeta.learners.answers.servable import make_servable

        return make_servable(self, normalization=normalization, output=output, **options)

    def export(
        self,
        export_dir: str | os.PathLike,
        version: int | None = None,
        *,
        format: str = "saved_model",
        normalization: str | None = None,
        output: str | None = None,
        max_ways: int | None = None,
        target_shape: Sequence[int] | None = None,
        outliers: Mapping[str, Any] | None = None,
        tasks: Any = None,
        inner_steps: int | None = None,
        tolerance: float | None = None,
        **limits: Unpack[ExportLimits],
    ) -> str:
        """Writes a model whose signatures adapt and predict; see `tfmeta.saved_model`.

        Args:
            export_dir: the model's directory; a version goes to `export_dir/<version>/`.
            version: None: one more than the highest there.
            format: "saved_model" for TensorFlow Serving, or "litert" for phones: `model.tflite`,
                for the sizes of `tasks`.
            normalization: another mode than the learner's, or None.
            output: "classification" or "regression"; None: by the loss.
            max_ways: None: classes as many as the network's outputs. A number, of a learner that
                allows any number of ways (`any_ways`): a request has the classes of its labels, at
                most so many, and its answers have as many columns.
            target_shape: shape of one support target, for a loss of your own whose targets are not
                of the outputs' shape, as (1,) for a mean and a deviation; None: by the loss.
            outliers: what `tfmeta.evaluation.measure_outliers` found, or a part of it: "score" is
                the output outlier_score of a classifier, and the rest goes into the metadata.
                None: the score "energy", without a threshold.
            tasks: for "litert", a batch of tasks as `predict` takes it. Every signature is tried
                on them.
            inner_steps: for "litert", None: `test_inner_steps`.
            tolerance: for "litert", see `tfmeta.saved_model.export_litert`.
            **limits: of `tfmeta.saved_model.export_servable` (max_support, max_query, ...);
                "litert" has `preprocessing` and `metadata` alone.

        Returns:
            Path of the version directory.
        """
        from tfmeta.learners.answers.servable import check_format, requests
        from tfmeta.saved_model import export_litert, export_servable

        fixed = {"tasks": tasks, "inner_steps": inner_steps, "tolerance": tolerance}
        check_format(format, fixed, limits)
        servable = self.servable(
            normalization, output, max_ways=max_ways, target_shape=target_shape, outliers=outliers
        )
        if format == "saved_model":
            return export_servable(servable, export_dir, version, **limits)
        # A phone's file has no such output.
        servable = dataclasses.replace(servable, outlier_score=None, outliers=None)
        return export_litert(
            servable,
            export_dir,
            version,
            tasks=requests(servable, tasks),
            inner_steps=inner_steps,
            tolerance=tolerance,
            preprocessing=limits.get("preprocessing"),
            metadata=limits.get("metadata"),
        )

    # What runs, evaluation and the writer of SavedModels ask.

    @property
    def inner_rate(self) -> Any:
        """Number or dict from patterns, for metadata; None where rates are learned or absent."""
        return self.adaptation.inner_rate

    @property
    def ways(self) -> int | None:
        """Size of the network's output, the most classes of a task; None where it is not known."""
        shape = getattr(self.network, "output_shape", None)
        return shape[-1] if isinstance(shape, tuple) else None

    @property
    def any_ways(self) -> bool:
        """Whether a task may have more classes than the network has outputs."""
        return any_ways.allows_any_ways(self.parts, self.inner_loss_function)

    @property
    def training_ways(self) -> int | None:
        """The most classes that labels of training tasks tell apart."""
        return self.gradient_rule.training_ways or self.ways

    @property
    def adapted_paths(self) -> list[str]:
        """Paths of the weights that adapt."""
        return self.task_network.adapted_paths

    @property
    def trunk_layers(self) -> list[str]:
        """Names of the layers that run once a task, before the first that adapts; maybe none."""
        return self.task_network.trunk.layers if self.task_network.trunk else []

    @property
    def chains_state(self) -> bool:
        """Whether tasks of a batch pass state on, one to the next."""
        return any(part.chains_state for part in self.parts)

    def execution_of(self, data: Any) -> str:
        """How the tasks of a batch are computed: `parallel`, or what "auto" makes of their size.

        Args:
            data: a batch as a task stream gives it, or its `element_spec`.

        Returns:
            "vectorized", "sequential", or "auto": vectorised if that can be.
        """
        return execution.execution_of(self, unpack_tasks(*data))

    def has_tiny_tasks(self, data: Any) -> bool:
        """Whether the tasks of a batch, or of its `element_spec`, are of few numbers."""
        return execution.are_tiny(self.network, execution.examples_of(unpack_tasks(*data)))

    def build_metrics(self, element_spec: Any) -> None:
        """Makes the metrics' variables for batches of this spec.

        Metrics are otherwise made within the first trace of a step, which TensorFlow then repeats,
        and which a batch that is refused would end before all are made.
        """
        keras_steps.build_metrics(self, element_spec)

    def task_keys(
        self, first: int | tf.Tensor, count: int | tf.Tensor, purpose: str = task_keys.TRAINING
    ) -> tf.Tensor:
        """Keys [T, 2] of the tasks first, first + 1, ...; see `tfmeta.learners.batch.task_keys`."""
        return task_keys.task_keys(self.seed, purpose, first, count)

    # Saving: every argument of the constructor is an attribute of the same name.

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, for `keras.saving`."""
        return saving.config_of(self)

    def quantize(
        self, mode: Any = None, config: Any = None, type_check: bool = True, filters: Any = None
    ) -> None:
        """Refuses: quantized weights don't train.

        Raises:
            ValueError: always.
        """
        raise checks.no_quantize("a learner, which trains the weights of its network")

    def save_own_variables(self, store: Any) -> None:
        """As `keras.Layer.save_own_variables`, with the number of tasks trained on."""
        super().save_own_variables(store)
        store[saving.TRAINED_TASKS] = self.trained_tasks.numpy()

    def load_own_variables(self, store: Any) -> None:
        """As `keras.Layer.load_own_variables`; files without the number of tasks begin at 0."""
        super().load_own_variables(saving.without_trained_tasks(store))
        self.trained_tasks.assign(saving.trained_tasks(store))

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` says, when `keras.saving` loads a learner."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MetaLearner":
        """The inverse of `get_config`."""
        return cls(**saving.arguments_of(config))

    def __setattr__(self, name, value):
        check_settled(self, name, value)
        super().__setattr__(name, value)

    def __getattr__(self, name):
        if name in saving.MOVED:
            return saving.moved(self, name)
        # An AttributeError from within a property comes here: asked again, it says what is missing.
        return super().__getattribute__(name)
