"""Reptile (Nichol, Achiam, Schulman 2018): move the initialisation towards adapted weights."""

import dataclasses
from typing import Any, Unpack

import keras
import tensorflow as tf

from tfmeta.inner import optimizers
from tfmeta.learners.core.adaptation import TaskContext
from tfmeta.learners.core.gradient_descent import FixedRates, FreshSlots, GradientDescent, WholeSet
from tfmeta.learners.core.gradient_rule import (
    GradientRule,
    TaskFunctions,
    TaskGradient,
    refuse_groups,
)
from tfmeta.learners.core.options import LearnerOptions
from tfmeta.learners.core.parts import Group, Part, WeightSpec
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.tasks.task import Examples, Task


@dataclasses.dataclass(frozen=True)
class Minibatches(Part):
    """Every inner step sees a minibatch, drawn without replacement within an epoch.

    Attributes:
        size: examples of a minibatch in training; None: all.
        test_size: examples of a minibatch elsewhere; None: all.
    """

    size: int | None
    test_size: int | None
    only_adapted = True

    def at_step(self, context: TaskContext, index) -> Examples:
        """The minibatch of inner step `index`."""
        support, size = context.support, self.size if context.training else self.test_size
        count = support.targets.shape[0]
        if size is None or (count is not None and count <= size):
            return support
        rows = minibatch_rows(index, size, count or tf.shape(support.targets)[0], context.key)
        return keras.tree.map_structure(
            lambda tensor: None if tensor is None else tf.gather(tensor, rows), support
        )


@dataclasses.dataclass(frozen=True)
class CarriedSlots(Part):
    """The inner optimiser's slots go on from task to task, in order, as in the authors' code.

    Attributes:
        optimizer: of the inner loop.
    """

    optimizer: Any
    changes = ("slots",)
    chains_state = True
    only_adapted = True

    def groups(self, network) -> list[Group]:
        """The slots, as state of the learner."""
        weights = [tf.convert_to_tensor(variable) for variable in network.adapted_variables]
        slots = [
            WeightSpec(
                path=f"inner_slot_{index}",
                shape=tuple(slot.shape),
                dtype=slot.dtype.name,
                initializer="zeros",
                name=f"inner_slot_{index}",
            )
            for index, slot in enumerate(self.optimizer.init(weights))
        ]
        return [Group("slots", slots, learned=False)]

    def start(self, context: TaskContext, optimizer, values) -> list:
        """The slots that the last task left."""
        return list(context.state.slots)

    def end(self, context: TaskContext, slots) -> Any:
        """The state with the slots that this task leaves."""
        return context.state._replace(slots=list(slots))


@dataclasses.dataclass(frozen=True)
class Displacement(GradientRule):
    """The moves of the inner steps, taken for a gradient; 0 for weights that do not adapt.

    Attributes:
        coefficients: None for weights minus adapted weights; otherwise a factor for the move of
            each inner step, which are then summed.
    """

    coefficients: tuple[float, ...] | None = None
    learns_from_queries = False
    further_logs = ("query_loss",)

    def check_parameters(self, groups) -> None:
        """Raises a ValueError for parts that learn variables of their own."""
        refuse_groups("Displacement", groups)

    def task_gradient(
        self, functions: TaskFunctions, parameters, task: Task, state, key
    ) -> TaskGradient:
        """Weights minus adapted weights, or the weighted sum of the moves on the way there."""
        adapted = functions.adapt(
            parameters, task.support, state, key, observe=list if self.coefficients else None
        )
        if self.coefficients is None:
            pairs = zip(parameters.network, adapted.weights, strict=True)
            moves = [before - after for before, after in pairs]
        else:
            moves = [self._combined(path) for path in adapted.records]
        answers = functions.network.query(adapted.weights, state.network, task)
        # Without an inner step there is no minibatch whose loss could be reported.
        losses = adapted.step_losses if functions.inner_steps else adapted.support_losses
        logs = {"loss": tf.reduce_mean(losses)}
        if answers.outputs.shape[0] != 0:
            logs["query_loss"] = answers.loss
        state = adapted.state._replace(network=answers.network_state)
        return TaskGradient(parameters._replace(network=moves), answers.outputs, state, logs)

    def _combined(self, path):
        """Sum of c_i (phi_i - phi_(i+1)) of the values [n + 1, ...] of a weight."""
        return tf.tensordot(tf.constant(self.coefficients, path.dtype), path[:-1] - path[1:], 1)


def minibatch_descent(inner_rate, optimizer, batch_size, test_batch_size, carry_moments):
    """Gradient descent on minibatches; arguments as of `Reptile`."""
    for name, value in (("batch_size", batch_size), ("test_batch_size", test_batch_size)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1. Received: {value}.")
    whole = batch_size is None and test_batch_size is None
    return GradientDescent(
        rates=FixedRates(inner_rate),
        optimizer=optimizer,
        examples=WholeSet() if whole else Minibatches(batch_size, test_batch_size),
        slots=CarriedSlots(optimizer) if carry_moments else FreshSlots(),
    )


@keras.saving.register_keras_serializable("tfmeta")
class Reptile(MetaLearner):
    """Treats `weights - adapted weights` as the gradient of the initialisation.

    With SGD of rate epsilon outside this is the paper's interpolation
    `w <- w + epsilon (mean of adapted - w)` (algorithm 2; one task a step is algorithm 1), and a
    falling epsilon is a learning-rate schedule; with Adam outside it is the paper's alternative.

    Minibatches of the inner loop are drawn from the task's examples without replacement within an
    epoch, as the authors' code. A task may have no query set in training; what is reported as
    "loss" is the mean loss of the inner minibatches, and "query_loss" where there are queries.

    Example:
        >>> import keras, tfmeta
        >>> network = tfmeta.networks.mlp(hidden=(8,))
        >>> learner = tfmeta.Reptile(network, inner_rate=0.02, inner_steps=3, batch_size=5)
        >>> learner.compile(keras.optimizers.SGD(1.0), "mse")  # the outer rate: 1 goes all the way
        >>> tasks = tfmeta.tasks.sinusoid("train", shots=10, seed=0).batch(2)
        >>> history = learner.fit(tasks, steps_per_epoch=1, verbose=0)

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights, or a dict from patterns to rates.
        inner_steps: number of inner steps in training.
        inner_optimizer: "adam" (beta_1 = 0, the paper's), "sgd", "momentum", or an instance.
        batch_size: examples of an inner minibatch in training; None: all.
        test_batch_size: in evaluation and export; None: `batch_size`.
        carry_moments: whether the inner optimiser's slots go on from task to task, in order, as
            the authors' code (then tasks run one after another), instead of starting at 0.
        **options: of `MetaLearner`.
    """

    chooses = ("adaptation", "gradient_rule")

    def __init__(
        self,
        network: keras.Model,
        inner_rate: Any = 1e-3,
        inner_steps: int = 5,
        *,
        inner_optimizer: Any = "adam",
        batch_size: int | None = None,
        test_batch_size: int | None = None,
        carry_moments: bool = False,
        **options: Unpack[LearnerOptions],
    ):
        optimizer = optimizers.get(inner_optimizer)
        test_size = batch_size if test_batch_size is None else test_batch_size
        super().__init__(
            network,
            minibatch_descent(inner_rate, optimizer, batch_size, test_size, carry_moments),
            Displacement(),
            inner_steps=inner_steps,
            **options,
        )
        self.inner_optimizer = optimizer
        self.batch_size = batch_size
        self.test_batch_size = test_size
        self.carry_moments = carry_moments

    @property
    def slot_variables(self) -> list:
        """The carried slots of the inner optimiser; empty without `carry_moments`."""
        return self.variables_of("slots") if self.carry_moments else []


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
