"""`MetaLearner`: a Keras model whose batches are tasks, composed of two parts."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners import batch_checks, checks, diverged, task_keys
from tfmeta.learners.adapted_model import AdaptedModel
from tfmeta.learners.arguments import check_arguments, signature_of
from tfmeta.learners.arrays import batch_tensors, support_examples
from tfmeta.learners.core.adaptation import Adaptation, Adapted, TaskContext, adapt
from tfmeta.learners.core.embedding import Embedding
from tfmeta.learners.core.gradient_descent import FixedRates, GradientDescent
from tfmeta.learners.core.gradient_rule import (
    GradientRule,
    QueryGradient,
    TaskFunctions,
    TaskGradient,
)
from tfmeta.learners.core.parts import NamedGroups, made, parts_of
from tfmeta.learners.fitting import Fitting
from tfmeta.learners.keras_steps import KerasSteps
from tfmeta.learners.meta_steps import MetaSteps
from tfmeta.learners.task_weights import split_weights
from tfmeta.tasks.task import Examples, Task, unpack_tasks

_TRAINED_TASKS = "trained_tasks"  # beside the numbers by which Keras saves a layer's variables


@keras.saving.register_keras_serializable("tfmeta")
class MetaLearner(KerasSteps, MetaSteps, Fitting, keras.Model):
    """Wraps a network; `fit` learns the initialisation from which it adapts to new tasks.

    A batch is a batch of tasks, `((support_x, support_y, query_x), query_y)` with a leading axis
    T on every tensor. `predict` adapts to the support set of each task and answers its queries.

    A learner is two pure functions of one task, each put together from parts: `adaptation` says
    how a support set moves the weights, `gradient_rule` what the query set says about the
    initialisation. `tfmeta.MAML`, `tfmeta.Reptile` and the others are this class with parts
    chosen.

    Args:
        network: a built `keras.Model` with one output. It is wrapped, not copied: it stays usable
            by itself and shares its weights.
        adaptation: how a support set moves the weights; None: gradient descent at a rate of 0.01.
        gradient_rule: how a query set becomes a gradient; None: the gradient of the query loss
            through the inner steps.
        inner_steps: number of inner steps in training.
        test_inner_steps: number of inner steps elsewhere; None: as in training.
        adapted: patterns of the weights that adapt (a leading "!" leaves out); None: all.
        normalization: "transductive", "inductive" or "running" (`tfmeta.learners.normalization`).
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
        constructor = vars(cls).get("__init__")
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
        adapted: str | Sequence[str] | None = None,
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
        for argument, part, kind in (
            ("adaptation", adaptation, Adaptation),
            ("gradient_rule", gradient_rule, GradientRule),
        ):
            if part is not None and not isinstance(part, kind):
                raise TypeError(
                    f"{argument} must be a tfmeta.parts.{kind.__name__}. Received: {part!r}. "
                    "Inner rates belong to a learner such as tfmeta.MAML, or to "
                    "tfmeta.parts.GradientDescent."
                )
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
        self.adapted = [adapted] if isinstance(adapted, str) else adapted
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
        self._parts = tuple(parts_of(self.adaptation, self.gradient_rule))
        self._pure = inner.PureNetwork(network, dropout=dropout)
        checks.check_layers(self._pure)
        self.wrapped_paths = tuple(self._pure.paths)
        self.task_network = self.adaptation.task_network(
            pure=self._pure,
            adapted=tuple(inner.select(self._pure.paths, adapted, argument="adapted")),
            normalization=normalization,
            parallel=parallel,
            embedding=Embedding(network) if any(p.needs_embedding for p in self._parts) else None,
        )
        for part in self._parts:
            part.check_network(self.task_network)
        self._parameters, self._state = self._made_groups()
        self.gradient_rule.check_parameters(self._parameters.names[1:])
        self._further_trackers = {
            name: keras.metrics.Mean(name=name) for name in self.gradient_rule.further_logs
        }
        self.task_functions = None
        self._functions = {}
        self.built = True

    def _made_groups(self):
        """The parameters and the state, of the network and of the parts."""
        network = self.network
        groups = [group for part in self._parts for group in part.groups(self.task_network)]
        fixed = network.non_trainable_variables
        paths = [inner.relative_path(network, variable) for variable in fixed]
        weights = ("network", list(network.trainable_variables), list(self._pure.paths))
        learned = [made(self, group) for group in groups if group.learned]
        others = [made(self, group) for group in groups if not group.learned]
        self._optional_groups = [group.name for group in groups if group.gradient_optional]
        return (
            NamedGroups("Parameters", [weights, *learned]),
            NamedGroups("State", [("network", list(fixed), paths), *others]),
        )

    # Flat lists: what Keras, optimisers, checkpoints and SavedModels see.

    @property
    def parameter_variables(self) -> list:
        """What the outer optimiser trains: the network's trainable weights, then the learner's."""
        return self._parameters.variables

    @property
    def parameter_paths(self) -> list[str]:
        """Path of each of `parameter_variables`, relative to the network."""
        return self._parameters.paths

    @property
    def state_variables(self) -> list:
        """What meta-steps change without a derivative, or leave alone."""
        return self._state.variables

    # Keras pairs these with the optimizer's variables, one by one.

    @property
    def trainable_variables(self) -> list:
        """`parameter_variables`, which are those of the optimizer in its order."""
        return self.parameter_variables if self.trainable else []

    @property
    def trainable_weights(self) -> list:
        """`parameter_variables`, which are those of the optimizer in its order."""
        return self.trainable_variables

    @property
    def non_trainable_variables(self) -> list:
        """All other variables of learner and network."""
        return _without(self.variables, self.trainable_variables)

    @property
    def non_trainable_weights(self) -> list:
        """All other weights of learner and network."""
        return _without(self.weights, self.trainable_variables)

    def variables_of(self, group: str) -> list:
        """Variables of a group of the parameters or the state, by the name that a part gave it."""
        groups = self._parameters if group in self._parameters.names else self._state
        return groups.variables_of(group)

    def network_state_of(self, state: Sequence[tf.Tensor]) -> list:
        """Of the learner's state, the network's."""
        return self._state.pack(state).network

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
            self._parameters.pack(parameters),
            self._state.pack(state),
            support,
            key,
            first_order=not self.second_order,
        )

    def adapt_weights(
        self,
        parameters: Sequence[tf.Tensor],
        support: Examples,
        inner_steps,
        state: Sequence[tf.Tensor],
        key: tf.Tensor,
        *,
        rate_scale: Any = 1.0,
        observe: Callable[[list], Any] | None = None,
        samples: int | None = None,
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

        Returns:
            `Adapted`, whose state is a list of tensors.
        """
        network = self.task_network.with_samples(samples)
        context = self.task_context(parameters, support, state, key)
        found = adapt(
            self.adaptation,
            context.replaced(network=network, rate_scale=rate_scale),
            inner_steps,
            observe=observe,
            rematerialize=self.rematerialize,
        )
        return found._replace(state=tf.nest.flatten(found.state))

    def task_gradient(
        self, parameters: Sequence[tf.Tensor], task: Task, state: Sequence[tf.Tensor], key
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
            self._parameters.pack(parameters),
            task,
            self._state.pack(state),
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
    ) -> tf.Tensor:
        """Raw outputs [Q, ...] of the network with adapted weights.

        Args:
            weights: list of tensors, order of `network.trainable_variables`.
            state: list of tensors, order of `state_variables`.
            query_inputs: tensor [Q, ...], or a structure of such tensors.
            support: the support set; the inductive normalisation needs it.
            normalization: another mode than the learner's, or None.
            query_weights: [Q] or None; examples of weight 0 leave batch statistics.
        """
        network_state = self.network_state_of(state)
        return self.task_network.answers(
            weights, network_state, query_inputs, support, query_weights, normalization
        )[0]

    def query_loss(self, weights, state, task: Task) -> tuple[tf.Tensor, tf.Tensor]:
        """Raw outputs [Q, ...] and loss [] of a task's queries at adapted weights."""
        found = self.task_network.query(weights, self.network_state_of(state), task)
        return found.outputs, found.loss

    def initial_weights(self, parameters: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The weights before adaptation, as `query_outputs` takes them."""
        return self.task_network.initial(self._parameters.pack(parameters).network)

    # Which state a meta-step changes.

    @property
    def second_order(self) -> bool:
        """Whether the meta-gradient needs second derivatives of the network."""
        return self.gradient_rule.second_order

    @property
    def learns_from_queries(self) -> bool:
        """Whether the meta-gradient is one of query losses, which weights of queries change."""
        return self.gradient_rule.learns_from_queries

    @property
    def chains_state(self) -> bool:
        """Whether tasks of a batch pass state on, one to the next."""
        return any(part.chains_state for part in self._parts)

    @property
    def changed_groups(self) -> frozenset[str]:
        """Names of the groups of state that a meta-step assigns."""
        moves = self.normalization == "running" or self._pure.moving
        return frozenset(
            [
                *(("network",) if moves else ()),
                *(name for part in self._parts for name in part.changes),
            ]
        )

    @property
    def updates_state(self) -> bool:
        """Whether a meta-step assigns any state."""
        return bool(self.changed_groups)

    def state_after_updates(self, state: Sequence[tf.Tensor], updates) -> list[tf.Tensor]:
        """The state after updates of the parameters.

        Args:
            state: the mean of the states that the tasks of a batch leave.
            updates: number of updates, an int or an integer scalar tensor.
        """
        after = self.gradient_rule.after_updates(self._state.pack(state), updates)
        return tf.nest.flatten(after)

    def changed_state(self, state: Sequence[tf.Tensor]) -> list[tuple]:
        """Pairs (variable, value) of the state that a meta-step assigns."""
        values = self._state.pack(state)
        return [
            pair
            for name in self._state.names
            if name in self.changed_groups
            for pair in zip(self._state.variables_of(name), getattr(values, name), strict=True)
        ]

    # What Keras calls.

    def compile(
        self,
        optimizer: Any = "adam",
        loss: Any = None,
        metrics: Any = None,
        *,
        jit_compile: bool = False,
        **options,
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
        super().compile(
            optimizer=optimizer, loss=loss, metrics=metrics, jit_compile=jit_compile, **options
        )
        checks.check_optimizer(self.optimizer, self.meta_gradient_clip)
        checks.check_weights(self)
        if self.loss_function is None:  # Once a learner; compiling again changes no layer.
            checks.check_exactness(self)
        self.loss_function = inner.SetLoss(loss, factor)
        self.inner_loss_function = (
            self.loss_function if self.inner_loss is None else inner.SetLoss(self.inner_loss)
        )
        for function in {self.loss_function, self.inner_loss_function}:
            checks.check_class_axis(function, self.network)
            checks.warn_of_logits(function, self.network)
        self._pure.xla = bool(jit_compile)
        if self.task_network.embedding is not None:
            self.task_network.embedding.pure.xla = self._pure.xla
        self.task_network = self.task_network.with_losses(
            self.inner_loss_function, self.loss_function, type(self).__name__
        )
        for part in self._parts:
            part.check_loss(self.task_network)
        self.task_functions = TaskFunctions(
            self.task_network,
            self.adaptation,
            self.inner_steps,
            self.parameter_paths,
            frozenset(self._optional_paths()),
            self.rematerialize,
        )
        self._functions = {}
        self._metrics_asked = tuple(metrics or ())
        self.optimizer.build(self.parameter_variables)

    def _optional_paths(self):
        for part in self._parts:
            yield from part.without_gradient(self.task_network)
        for name in self._optional_groups:
            yield from self._parameters.paths_of(name)
        if not self.inner_steps:  # What directs the steps has nothing to learn from.
            yield from self.parameter_paths[len(self.network_paths) :]

    def call(self, inputs, training=None):
        """Adapts to each task and answers its queries: raw outputs [T, Q, ...]."""
        task = unpack_tasks(*batch_tensors(inputs))
        batch_checks.check_tasks(self, task)

        def answer(weights, state, one):
            query = one.query
            return self.query_outputs(
                weights, state, query.inputs, one.support, query_weights=query.weights
            )

        return self._map_adapted(task, answer)

    def task_weights(
        self, support_x: Any, support_y: Any, inner_steps=None, support_weights: Any = None
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
        steps = self._steps(inner_steps)
        support = support_examples(support_x, support_y, support_weights)
        batch_checks.check_tasks(self, Task(support, None))
        return self._compiled("task_weights", self._task_weights, steps)(support)

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
        task = unpack_tasks(*batch_tensors(x, y, sample_weight))
        batch_checks.check_tasks(self, task)
        batch_checks.check_query_targets(task)
        return self._compiled("meta_gradient", self._meta_gradient)(task)

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
        steps = self._steps(inner_steps)
        task, _ = split_weights(unpack_tasks(*batch_tensors(x, None, sample_weight)))
        batch_checks.check_tasks(self, task)
        if normalization is not None:
            checks.check_options(normalization=normalization)
        first = tf.constant(first_task, tf.int64)
        curve = self._compiled("curve", self._curve, steps, normalization)
        (outputs, *masks), losses = curve(task, first)
        return inner.with_mask(outputs, *masks), losses

    def adapt(self, support_x: Any, support_y: Any, inner_steps: int | None = None) -> AdaptedModel:
        """Adapts to one task.

        Args:
            support_x: [S, ...] or a dict.
            support_y: [S, ...].
            inner_steps: None: `test_inner_steps`.

        Returns:
            A `keras.Model` from query inputs [Q, ...] to the adapted network's raw outputs, which
            keeps the learner's normalisation.
        """
        support = support_examples(support_x, support_y)
        batch_checks.check_one_task(self, support)
        many = keras.tree.map_structure(lambda t: None if t is None else t[tf.newaxis], support)
        weights = self.task_weights(many.inputs, many.targets, inner_steps)
        return AdaptedModel(self, [weight[0] for weight in weights], support)

    def servable(self, normalization=None, output=None, **options):
        """What the SavedModel writer needs of this learner; see `tfmeta.export.Servable`."""
        from tfmeta.learners.servable import make_servable

        return make_servable(self, normalization=normalization, output=output, **options)

    def export(self, export_dir, version=None, *, normalization=None, output=None, **limits):
        """Writes a SavedModel whose signatures adapt and predict; see `tfmeta.export`.

        Args:
            export_dir: the model's directory; the SavedModel goes to `export_dir/<version>/`.
            version: None: one more than the highest there.
            normalization: another mode than the learner's, or None.
            output: "classification" or "regression"; None: by the loss.
            **limits: of `tfmeta.export.export_servable` (max_support, max_query, ...).

        Returns:
            Path of the version directory.
        """
        from tfmeta.export import export_servable

        servable = self.servable(normalization, output)
        return export_servable(servable, export_dir, version, **limits)

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
    def training_ways(self) -> int | None:
        """The most classes that labels of training tasks tell apart."""
        return self.gradient_rule.training_ways or self.ways

    @property
    def network_paths(self) -> list[str]:
        """Paths of the network's trainable weights, relative to it."""
        return list(self._pure.paths)

    @property
    def adapted_indices(self) -> tuple[int, ...]:
        """Indices, among the network's trainable weights, of the weights that adapt."""
        return self.task_network.adapted

    @property
    def adapted_paths(self) -> list[str]:
        """Paths of the weights that adapt."""
        return self.task_network.adapted_paths

    @property
    def adapted_shapes(self) -> list[tuple]:
        """Shape of each weight after adaptation, order of `network.trainable_variables`."""
        return self.task_network.adapted_shapes

    def _steps(self, inner_steps):
        steps = self.test_inner_steps if inner_steps is None else inner_steps
        checks.check_options(inner_steps=steps)
        return steps

    # Saving: every argument of the constructor is an attribute of the same name.

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, for `keras.saving`."""
        return {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in signature_of(type(self)).parameters
        }

    def save_own_variables(self, store):
        """As `keras.Layer.save_own_variables`, with the number of tasks trained on."""
        super().save_own_variables(store)
        store[_TRAINED_TASKS] = self.trained_tasks.numpy()

    def load_own_variables(self, store):
        """As `keras.Layer.load_own_variables`; files without the number of tasks begin at 0."""
        names = list(store.keys())
        super().load_own_variables({n: store[n] for n in names if n != _TRAINED_TASKS})
        self.trained_tasks.assign(store[_TRAINED_TASKS] if _TRAINED_TASKS in names else 0)

    def compile_from_config(self, config):
        """Compiles as `get_compile_config` says, when `keras.saving` loads a learner."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**{n: keras.saving.deserialize_keras_object(v) for n, v in config.items()})


def _without(variables, excluded):
    known = {id(variable) for variable in excluded}
    return [variable for variable in variables if id(variable) not in known]
