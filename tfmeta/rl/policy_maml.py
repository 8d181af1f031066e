"""MAML for reinforcement learning (Finn, Abbeel, Levine 2017, algorithm 3)."""

import functools
import os
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from tfmeta.inner import finite_assertions
from tfmeta.parallel import map_tasks
from tfmeta.rl.adaptation import Adaptation
from tfmeta.rl.environment import Environment
from tfmeta.rl.meta_objective import MetaObjective
from tfmeta.rl.outer_steps import TRPO, PolicyGradient
from tfmeta.rl.policy_gradient_step import PolicyGradientStep
from tfmeta.rl.surrogates import log_likelihood_surrogate
from tfmeta.rl.trajectories import returns

if TYPE_CHECKING:
    from tfmeta.saved_model import ServablePolicy

# Arguments that Keras saves as objects of their own.
_SAVED = ("network", "environment", "inner_surrogate", "outer")


@keras.saving.register_keras_serializable("tfmeta")
class PolicyMAML(keras.Model):
    """Learns a policy from which a few policy-gradient steps on a few trajectories suffice.

    A batch is a batch of tasks, `(parameters [T, N, p], keys [T, 2])` of `environment_tasks`. A
    meta-step draws N trajectories a task with the initialisation, adapts to them, draws N with
    each adapted policy, and lets `outer` improve the mean over tasks of what those say of the
    initialisation, through the inner steps.

    Example:
        >>> import keras
        >>> from tfmeta import rl
        >>> environment = rl.Navigation(horizon=5)
        >>> network = rl.gaussian_mlp(2, 2, hidden=(8,))
        >>> learner = rl.PolicyMAML(network, environment, inner_rate=0.1)
        >>> learner.compile(keras.optimizers.SGD(1.0))
        >>> tasks = rl.environment_tasks(environment, shots=4, seed=0).batch(2)
        >>> history = learner.fit(tasks, steps_per_epoch=1, verbose=0)

    Args:
        network: a built `keras.Model` from observations [N, o] to [N, 2 a] (`gaussian_mlp`).
        environment: `Environment`.
        inner_rate: of the updates in training.
        inner_steps: updates in training; 0: a policy for all tasks at once, without adaptation.
        test_inner_steps: updates elsewhere.
        test_inner_rates: of the first update elsewhere, the second, ...; the last goes on.
        inner_surrogate: the inner loss, of `tfmeta.rl.surrogates`: which second derivatives the
            meta-gradient has.
        outer: `TRPO` or `PolicyGradient`.
        discount: of rewards.
        gae_lambda: of generalised advantages.
        parallel: "auto", "vectorized" or "sequential" (`tfmeta.parallel.map_tasks`).
        tasks_per_pass: at most so many tasks in one vectorised pass of the outer optimiser,
            to bound memory.
        name: of the model.

    Raises:
        ValueError: if the network does not fit the environment, or a number is out of its range.
    """

    normalization = "running"  # A policy sees observations one by one.
    chains_state = False

    def __init__(
        self,
        network: keras.Model,
        environment: Environment,
        inner_rate: float = 0.1,
        inner_steps: int = 1,
        *,
        test_inner_steps: int = 3,
        test_inner_rates: Sequence[float] = (0.1, 0.05),
        inner_surrogate: Callable[..., tf.Tensor] = log_likelihood_surrogate,
        outer: PolicyGradient | TRPO | None = None,
        discount: float = 0.99,
        gae_lambda: float = 1.0,
        parallel: str = "auto",
        tasks_per_pass: int | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name, autocast=False)
        _check(network, environment, inner_steps, test_inner_steps, test_inner_rates)
        self.network = network
        self.environment = environment
        self.inner_rate = inner_rate
        self.inner_steps = inner_steps
        self.test_inner_steps = test_inner_steps
        self.test_inner_rates = tuple(test_inner_rates)
        self.outer = TRPO() if outer is None else outer
        self.discount = discount
        self.gae_lambda = gae_lambda
        self.parallel = parallel
        self.tasks_per_pass = tasks_per_pass
        self.step = PolicyGradientStep(network, inner_surrogate)
        self._adaptation = Adaptation(environment, self.step, self._map, discount, gae_lambda)
        self._functions: dict[int, Callable] = {}
        self.built = True

    @property
    def parameter_variables(self) -> list:
        """What the outer optimiser trains: the network's trainable weights."""
        return list(self.network.trainable_variables)

    @property
    def state_variables(self) -> list:
        """What meta-steps leave alone."""
        return list(self.network.non_trainable_variables)

    def compile(
        self,
        optimizer: Any = None,
        loss: None = None,
        metrics: None = None,
        *,
        jit_compile: bool = False,
        **options: Any,
    ) -> None:
        """Configures training.

        Args:
            optimizer: Keras optimizer that takes what `outer` gives; None: SGD with a rate of 1.
            loss: none: the policy's loss is its environment's.
            metrics: none: the environment's rewards are measured.
            jit_compile: whether to compile steps by XLA.
            **options: of `keras.Model.compile`.
        """
        if loss is not None or metrics:
            raise ValueError(
                "A policy is judged by its environment's rewards. Received: "
                f"loss={loss!r}, metrics={metrics!r}. Leave both out."
            )
        optimizer = keras.optimizers.SGD(1.0) if optimizer is None else optimizer
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **options)
        self.outer.check_optimizer(self.optimizer)
        self.optimizer.build(self.parameter_variables)
        self._functions = {}

    def build_metrics(self, element_spec: Any) -> None:
        """There are none to make (`Training` asks every learner)."""

    def compute_meta_gradient(
        self, data: Any, task_index: int | tf.Tensor = 0
    ) -> tuple[list[tf.Tensor], list[tf.Tensor], dict[str, tf.Tensor]]:
        """What one meta-step subtracts from the weights, without side effects.

        Args:
            data: a batch of `environment_tasks`.
            task_index: unused: a task brings its own key.

        Returns:
            A list in the order of `parameter_variables`, the state (unchanged), and logs: "loss"
            (minus the mean return after adaptation), "return_before", "return_after" and what
            `outer` says.
        """
        weights, state = self._values()
        rates = [self.inner_rate] * self.inner_steps
        experiences = self._adaptation.experiences(weights, state, data, rates)
        *before, after = experiences

        def of_task(weights, task):
            return self.step.after_updates(weights, state, task[0], task[1], self.inner_rate)

        def of_all(function):
            tasks = (before, after)
            return self._map(function, tasks, tasks_per_pass=self.tasks_per_pass)

        objective = MetaObjective(of_task, of_all)
        descent, logs = self.outer.descent(objective, weights)
        first, last = (tf.reduce_mean(returns(one.trajectories)) for one in (experiences[0], after))
        return descent, state, {"loss": -last, "return_before": first, "return_after": last, **logs}

    def apply_meta_gradient(self, gradients: Sequence[tf.Tensor], state: Any) -> None:
        """Gives the optimizer what `compute_meta_gradient` returned."""
        self.optimizer.apply(gradients, self.parameter_variables)

    def get_config(self) -> dict[str, Any]:
        parts = (self.network, self.environment, self.step.surrogate, self.outer)
        return {
            **dict(zip(_SAVED, map(keras.saving.serialize_keras_object, parts), strict=True)),
            "inner_rate": self.inner_rate,
            "inner_steps": self.inner_steps,
            "test_inner_steps": self.test_inner_steps,
            "test_inner_rates": list(self.test_inner_rates),
            "discount": self.discount,
            "gae_lambda": self.gae_lambda,
            "parallel": self.parallel,
            "tasks_per_pass": self.tasks_per_pass,
            "name": self.name,
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` says, when `keras.saving` loads a learner."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "PolicyMAML":
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in _SAVED}
        return cls(**{**config, **parts})

    def train_step(self, data: Any) -> dict[str, Any]:
        """One meta-step, for `fit`."""
        gradients, state, logs = self.compute_meta_gradient(data)
        with tf.control_dependencies(finite_assertions(logs["loss"], gradients, self.optimizer)):
            self.apply_meta_gradient(gradients, state)
        return logs

    def trajectories(self, data: Any, inner_steps: int | None = None) -> list:
        """What the policy does in each task, before its updates and after each.

        Args:
            data: a batch of `environment_tasks`.
            inner_steps: n, number of updates; None: `test_inner_steps`.

        Returns:
            A list of n + 1 `Trajectories` [T, N, H, ...].
        """
        steps = self.test_inner_steps if inner_steps is None else inner_steps
        if steps not in self._functions:
            self._functions[steps] = tf.function(
                functools.partial(self._trajectories, steps),
                autograph=False,
                jit_compile=bool(self.jit_compile),
            )
        return self._functions[steps](tf.nest.map_structure(tf.convert_to_tensor, data))

    def task_metrics(
        self, data: Any, inner_steps: int | None = None, normalization: str | None = None
    ) -> dict[str, Any]:
        """What evaluation measures of each task.

        Args:
            data: a batch of `environment_tasks`.
            inner_steps: n; None: `test_inner_steps`.
            normalization: unused.

        Returns:
            `{"return": [T, n + 1]}`, the mean undiscounted return of a task's trajectories before
            the first update and after each.
        """
        curve = [returns(one).numpy() for one in self.trajectories(data, inner_steps)]
        return {"return": tf.stack(curve, axis=1).numpy()}

    def servable(self) -> "ServablePolicy":
        """What the export room needs of this policy; see `tfmeta.saved_model.ServablePolicy`."""
        from tfmeta.rl.servable import make_servable

        return make_servable(self)

    def export(
        self,
        export_dir: str | os.PathLike,
        version: int | None = None,
        *,
        normalization: str | None = None,
        preprocessing: None = None,
        **options: Any,
    ) -> str:
        """Writes a SavedModel whose signature `adapt_and_act` takes one update.

        Args:
            export_dir: the model's directory; the SavedModel goes to `export_dir/<version>/`.
            version: None: one more than the highest there.
            normalization: None, or "running": a policy sees observations one by one.
            preprocessing: none: observations are sent as they are.
            **options: of `tfmeta.saved_model.export_policy` (max_support, max_steps, ...).

        Returns:
            Path of the version directory.
        """
        from tfmeta.saved_model import export_policy

        if normalization not in (None, self.normalization) or preprocessing:
            raise ValueError(
                "A policy's observations are neither normalised together nor prepared. Received: "
                f"normalization={normalization!r}, preprocessing={preprocessing!r}. Leave them out."
            )
        return export_policy(self.servable(), export_dir, version, **options)

    def execution_of(self, data: Any) -> str:
        """How tasks are computed, whatever their size; as `MetaLearner.execution_of`."""
        return self.parallel

    def way_of(self, data: Any) -> str:
        """The earlier name of `execution_of`, for one release."""
        warnings.warn(
            "`learner.way_of` is `learner.execution_of` now, and goes in the next release.",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.execution_of(data)

    def has_tiny_tasks(self, data: Any) -> bool:
        """No: most of a step is the environment's, whatever the policy's size."""
        return False

    def _trajectories(self, steps, data):
        given = self.test_inner_rates
        rates = [given[min(step, len(given) - 1)] for step in range(steps)]
        weights, state = self._values()
        experiences = self._adaptation.experiences(weights, state, data, rates)
        return [experience.trajectories for experience in experiences]

    def _map(self, function, tasks, **options):
        return map_tasks(function, tasks, parallel=self.parallel, **options)

    def _values(self):
        weights = [tf.convert_to_tensor(variable) for variable in self.parameter_variables]
        return weights, [tf.convert_to_tensor(variable) for variable in self.state_variables]


def _check(network, environment, inner_steps, test_inner_steps, test_inner_rates):
    sizes = (environment.observation_size, 2 * environment.action_size)
    shapes = network.input_shape[-1], network.output_shape[-1]
    if sizes != shapes:
        raise ValueError(
            "A policy's network must go from observations to a mean and a log standard deviation "
            f"for each part of an action, {sizes[0]} to {sizes[1]} numbers. Received: "
            f"{network.name!r}, {shapes[0]} to {shapes[1]}. Build it with "
            f"gaussian_mlp({environment.observation_size}, {environment.action_size})."
        )
    for name, steps in (("inner_steps", inner_steps), ("test_inner_steps", test_inner_steps)):
        if not isinstance(steps, int) or steps < 0:
            raise ValueError(f"{name} must be a whole number, 0 or more. Received: {steps!r}.")
    if not test_inner_rates:
        raise ValueError(
            "test_inner_rates must name the rate of the first update at least. Received: none."
        )
