"""`MetaLearner`: a Keras model whose batches are tasks."""

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.inner import optimizers
from tfmeta.learners import batch_checks, checks, diverged, task_keys
from tfmeta.learners.adapted_model import AdaptedModel
from tfmeta.learners.arguments import check_arguments
from tfmeta.learners.arrays import batch_tensors, support_examples
from tfmeta.learners.fitting import Fitting
from tfmeta.learners.keras_steps import KerasSteps
from tfmeta.learners.meta_steps import MetaSteps
from tfmeta.learners.pure_functions import PureFunctions
from tfmeta.learners.task_weights import split_weights
from tfmeta.tasks.task import Task, unpack_tasks

_TRAINED_TASKS = "trained_tasks"  # beside the numbers by which Keras saves a layer's variables


class MetaLearner(KerasSteps, MetaSteps, PureFunctions, Fitting, keras.Model):
    """Wraps a network; `fit` learns the initialisation from which it adapts to new tasks.

    A batch is a batch of tasks, `((support_x, support_y, query_x), query_y)` with a leading axis
    T on every tensor. `predict` adapts to each task's support set and answers its queries.
    Subclasses (`MAML`, `Reptile`, `IMAML`, `MetaSGD`) define `task_gradient`.

    Args:
        network: a built `keras.Model` with one output. It is wrapped, not copied: it stays usable
            by itself and shares its weights.
        inner_rate: rate of the inner loop, or a dict from patterns on weight paths ("head/*",
            "*") to rates, the first match counting.
        inner_steps: inner steps in training.
        test_inner_steps: inner steps elsewhere; None: as in training.
        inner_optimizer: "sgd", "momentum", "adam", or an instance of `tfmeta.inner.SGD`, `.Adam`.
        adapted: patterns of the weights that adapt (a leading "!" leaves out); None: all.
        normalization: "transductive", "inductive" or "running" (`tfmeta.learners.normalization`).
        inner_loss: a Keras loss for the inner loop; None: the one given to `compile`.
        dropout: whether dropout is on while adapting (a fresh mask a task and step).
        seed: of dropout masks, inner minibatches and noise; any whole number.
        parallel: "auto", "vectorized" or "sequential" (`tfmeta.parallel.map_tasks`). "auto": by
            the size of the tasks (`way_of`).
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

    def __new__(cls, *arguments, **options):
        check_arguments(cls, options)
        return super().__new__(cls, *arguments, **options)

    def __init__(
        self,
        network,
        inner_rate=0.01,
        inner_steps=1,
        *,
        test_inner_steps=None,
        inner_optimizer="sgd",
        adapted=None,
        normalization="transductive",
        inner_loss=None,
        dropout=False,
        seed=0,
        parallel="auto",
        tasks_per_pass=None,
        rematerialize=False,
        meta_gradient_clip=None,
        diverged_tasks="refuse",
        name=None,
    ):
        checks.check_network(network)
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
        self.inner_rate = inner_rate
        self.inner_steps = inner_steps
        self.test_inner_steps = inner_steps if test_inner_steps is None else test_inner_steps
        self.inner_optimizer = optimizers.get(inner_optimizer)
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
        self._pure = inner.PureNetwork(network, dropout=dropout)
        checks.check_layers(self._pure)
        self.updates_state = normalization == "running" or bool(self._pure.moving)
        self._adapted = inner.select(self._pure.paths, adapted, argument="adapted")
        adapted_variables = [network.trainable_variables[index] for index in self._adapted]
        self._projection = inner.Projection(adapted_variables)
        checks.check_constraints(self._projection.paths, self.breaks_constraints)
        self._rates = inner.by_pattern(self.adapted_paths, inner_rate, argument="inner_rate")
        checks.check_rates([] if inner_rate is None else self._rates)
        self.wrapped_paths = tuple(self._pure.paths)
        self._weight_count = len(network.trainable_variables)
        self._network_state_count = len(network.non_trainable_variables)
        self._functions = {}
        self.built = True

    @property
    def parameter_variables(self):
        """What the outer optimiser trains: the network's trainable weights, then the learner's."""
        return list(self.network.trainable_variables)

    @property
    def parameter_paths(self):
        """Path of each of `parameter_variables`, relative to the network."""
        return list(self._pure.paths)

    @property
    def state_variables(self):
        """What meta-steps change without a derivative, or leave alone."""
        return list(self.network.non_trainable_variables)

    # Keras pairs these with the optimizer's variables, one by one.
    @property
    def trainable_variables(self):
        """`parameter_variables`, which are those of the optimizer in its order."""
        return self.parameter_variables if self.trainable else []

    @property
    def trainable_weights(self):
        """`parameter_variables`, which are those of the optimizer in its order."""
        return self.trainable_variables

    @property
    def non_trainable_variables(self):
        """All other variables of learner and network."""
        return _without(self.variables, self.trainable_variables)

    @property
    def non_trainable_weights(self):
        """All other weights of learner and network."""
        return _without(self.weights, self.trainable_variables)

    @property
    def adapted_shapes(self):
        """Shape of each weight after adaptation, order of `network.trainable_variables`."""
        return [tuple(variable.shape) for variable in self.network.trainable_variables]

    def initial_weights(self, parameters):
        """The weights before adaptation, as `query_outputs` takes them."""
        return list(parameters[: self._weight_count])

    def compile(self, optimizer="adam", loss=None, metrics=None, *, jit_compile=False, **options):
        """Configures training, as `keras.Model.compile`.

        Args:
            optimizer: of the initialisation: a Keras optimizer or its name.
            loss: one Keras loss, its name, or a function of (targets, outputs); a set's loss is
                its (weighted) mean.
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
        self._functions = {}
        self._metrics_asked = tuple(metrics or ())
        self.optimizer.build(self.parameter_variables)

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

    def task_weights(self, support_x, support_y, inner_steps=None, support_weights=None):
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

    def meta_gradient(self, x, y, sample_weight=None):
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
        self, x, inner_steps=None, normalization=None, sample_weight=None, first_task=0
    ):
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

    def adapt(self, support_x, support_y, inner_steps=None):
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
        """What the export room needs of this learner; see `tfmeta.export.Servable`."""
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

    def get_config(self):
        return {
            "network": keras.saving.serialize_keras_object(self.network),
            "inner_rate": self.inner_rate,
            "inner_steps": self.inner_steps,
            "test_inner_steps": self.test_inner_steps,
            "inner_optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "adapted": self.adapted,
            "normalization": self.normalization,
            "inner_loss": keras.saving.serialize_keras_object(self.inner_loss),
            "dropout": self.dropout,
            "seed": self.seed,
            "parallel": self.parallel,
            "tasks_per_pass": self.tasks_per_pass,
            "rematerialize": self.rematerialize,
            "meta_gradient_clip": self.meta_gradient_clip,
            "diverged_tasks": self.diverged_tasks,
            "name": self.name,
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
        config = dict(config)
        for name in config.keys() & {"network", "inner_loss", "inner_optimizer"}:
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)

    def _steps(self, inner_steps):
        steps = self.test_inner_steps if inner_steps is None else inner_steps
        checks.check_options(inner_steps=steps)
        return steps


def _without(variables, excluded):
    known = {id(variable) for variable in excluded}
    return [variable for variable in variables if id(variable) not in known]
