"""Values that belong to an inner step: a row for each, and the last row for all steps beyond."""

import dataclasses

import keras
import tensorflow as tf

from tfmeta.inner import normalization as modes
from tfmeta.learners.core.adaptation import TaskContext
from tfmeta.learners.core.gradient_descent import GivenRates
from tfmeta.learners.core.parts import Group, Part, WeightSpec


@dataclasses.dataclass(frozen=True)
class StepRates(GivenRates):
    """A learned rate for each weight that adapts and each inner step.

    Attributes:
        rate: where the rates start: one number, or a dict from patterns to numbers.
        steps: n, number of inner steps in training; later steps take the rates of the last.
    """

    steps: int
    only_adapted = True

    def groups(self, network) -> list[Group]:
        """The rates [n] of each weight that adapts."""
        rates = self.of(network)
        rows = [
            WeightSpec(
                path=f"rate/{path}",
                shape=(self.steps,),
                dtype=variable.dtype,
                initializer=keras.initializers.Constant(rate),
                name="rate_" + path.replace("/", "_"),
            )
            for variable, path, rate in zip(
                network.adapted_variables, network.adapted_paths, rates, strict=True
            )
        ]
        return [Group("rates", rows)]

    def prepare(self, context: TaskContext) -> list:
        """The rates of all steps, scaled as the request asks."""
        return [rate * context.rate_scale for rate in context.parameters.rates]

    def at_step(self, prepared, index, values, gradients) -> list:
        """The rates of inner step `index`."""
        return [at_step(index, rate) for rate in prepared]


@dataclasses.dataclass(frozen=True)
class StepNormalization(Part):
    """Batch normalisation with a scale and a centre, and with averages, for each inner step.

    The network's own are those of the last step.

    Attributes:
        steps: n, number of inner steps in training.
        weights: whether each step has a learned scale and centre.
        averages: whether each step has moving averages.
    """

    steps: int
    weights: bool
    averages: bool
    changes = ("step_averages",)

    def groups(self, network) -> list[Group]:
        """Rows [n - 1, ...] of the steps before the last."""
        keras_network, paths = network.pure.network, network.paths
        weights, averages = self.positions(keras_network)
        return [
            Group(
                "step_weights",
                self._rows(keras_network.trainable_variables, weights, "step_weight", paths),
                # Held fixed, an inner gradient tells nothing about its step's scale and centre.
                gradient_optional=True,
            ),
            Group(
                "step_averages",
                self._rows(keras_network.non_trainable_variables, averages, "step_average"),
                learned=False,
            ),
        ]

    def positions(self, network) -> tuple[list[int], list[int]]:
        """Positions of what each step has its own of, among the network's variables.

        Returns:
            Positions among the trainable variables, and among the others.
        """
        if self.steps < 2:
            return [], []
        weights, averages = normalization_positions(network)
        return weights if self.weights else [], averages if self.averages else []

    def at_step(self, context: TaskContext, index) -> tuple[list, list]:
        """All weights before adaptation and the network's state, as step `index` has them."""
        weights, state = list(context.parameters.network), list(context.state.network)
        own_weights, own_averages = self.positions(context.network.pure.network)
        for values, positions, rows in (
            (weights, own_weights, context.parameters.step_weights),
            (state, own_averages, context.state.step_averages),
        ):
            for position, earlier in zip(positions, rows, strict=True):
                values[position] = at_step(index, with_last(earlier, values[position]))
        return weights, state

    def moved_averages(self, context: TaskContext, path) -> list[tf.Tensor]:
        """The earlier steps' averages, moved towards the statistics of the support set.

        Args:
            context: of the task.
            path: weights before the first step and after each, list of tensors [n + 1, ...].
        """
        _, positions = self.positions(context.network.pure.network)
        network, support, rows = context.network, context.support, []
        for index in range(self.steps - 1):
            weights, network_state = self.at_step(context, tf.constant(index))
            values = [weight[index] for weight in network.chosen(path)]
            weights = network.filled(weights, values)
            rows.append(
                modes.updated_averages(
                    network.pure, weights, network_state, support.inputs, support.weights
                )
            )
        return [tf.stack([row[position] for row in rows]) for position in positions]

    def _rows(self, variables, positions, name, paths=None):
        """Specifications of rows [n - 1, ...], which start with the values of the variables."""
        return [
            WeightSpec(
                path=f"earlier_steps/{paths[position]}" if paths else f"{name}_{number}",
                shape=(self.steps - 1, *variables[position].shape),
                dtype=variables[position].dtype,
                initializer=_repeated(variables[position]),
                name=f"{name}_{number}",
                constraint=_of_rows(variables[position].constraint),
            )
            for number, position in enumerate(positions)
        ]


def _of_rows(constraint):
    """A constraint of rows [n, ...]: the variable's own constraint holds for each row."""
    if constraint is None:
        return None
    return lambda rows: tf.stack([constraint(row) for row in tf.unstack(rows)])


def _repeated(variable):
    """An initializer: the variable's value in every row."""

    def initializer(shape, dtype=None):
        value = tf.convert_to_tensor(variable)
        return tf.tile(value[tf.newaxis], [shape[0]] + [1] * value.shape.rank)

    return initializer


def at_step(index, rows) -> tf.Tensor:
    """Row `index` of a tensor [n, ...]; the last row for `index` of n and above.

    As a product with 0s and one 1, whose derivative is dense; a gather's is a sparse update.
    """
    count = rows.shape[0]
    chosen = tf.one_hot(tf.minimum(index, count - 1), count, dtype=rows.dtype)
    return tf.tensordot(chosen, rows, 1)


def with_last(earlier, last) -> tf.Tensor:
    """The rows [n, ...] of all steps: those of the earlier steps [n - 1, ...], and the last."""
    return tf.concat([earlier, last[tf.newaxis]], axis=0)


def normalization_positions(network) -> tuple[list[int], list[int]]:
    """Positions of batch normalisation among the network's trained and its other variables."""
    layers = [
        layer
        for layer in network._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    found = {id(variable) for layer in layers for variable in layer.variables}

    def among(variables) -> list[int]:
        return [position for position, each in enumerate(variables) if id(each) in found]

    return among(network.trainable_variables), among(network.non_trainable_variables)
