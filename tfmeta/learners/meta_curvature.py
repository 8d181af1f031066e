"""Meta-Curvature (Park and Oliva 2019): a learned preconditioner of the inner gradient."""

import dataclasses
import math
from typing import Any, Unpack

import keras
import tensorflow as tf

from tfmeta.learners.core.adaptation import TaskContext
from tfmeta.learners.core.gradient_descent import GradientDescent, PlainGradient, descent
from tfmeta.learners.core.gradient_rule import QueryGradient
from tfmeta.learners.core.options import LearnerOptions
from tfmeta.learners.core.parts import Group, WeightSpec
from tfmeta.learners.meta_learner import MetaLearner


@dataclasses.dataclass(frozen=True)
class LearnedCurvature(PlainGradient):
    """The gradient of each weight times a learned matrix along every one of its modes.

    A kernel [positions..., in, out] has three modes: positions, inputs and outputs; a dense
    kernel two, a bias one. The matrices begin at the identity.
    """

    only_adapted = True

    def groups(self, network) -> list[Group]:
        """The matrices, weight by weight, from the first mode to the last."""
        matrices = [
            WeightSpec(
                path=f"curvature/{path}/mode_{mode}",
                shape=(size, size),
                dtype=variable.dtype,
                initializer=keras.initializers.Identity(),
                name=f"curvature_{path.replace('/', '_')}_{mode}",
            )
            for path, variable in zip(network.adapted_paths, network.adapted_variables, strict=True)
            for mode, size in enumerate(modes_of(variable.shape))
        ]
        return [Group("curvature", matrices)]

    def directions(self, context: TaskContext, prepared, values, gradients) -> list:
        """The preconditioned gradients, of the gradients' shapes."""
        matrices = iter(context.parameters.curvature)
        found = []
        for gradient in gradients:
            sizes = modes_of(gradient.shape)
            tensor = tf.reshape(gradient, sizes)
            for mode in range(len(sizes)):
                tensor = _along(next(matrices), tensor, mode)
            found.append(tf.reshape(tensor, gradient.shape))
        return found


def modes_of(shape) -> list[int]:
    """Sizes of the modes of a weight: [positions, in, out], [in, out] or [out]."""
    shape = [int(size) for size in shape]
    if len(shape) < 3:
        return shape or [1]
    return [math.prod(shape[:-2]), *shape[-2:]]


def _along(matrix, tensor, mode):
    """The product of a matrix with a tensor along one of its axes."""
    moved = tf.tensordot(matrix, tensor, axes=[[1], [mode]])
    order = [*range(1, mode + 1), 0, *range(mode + 1, tensor.shape.rank)]
    return tf.transpose(moved, order)


@keras.saving.register_keras_serializable("tfmeta")
class MetaCurvature(MetaLearner):
    """MAML whose inner gradient is multiplied by matrices that are learned with the weights.

    A matrix along each mode of a weight's gradient, which together are a preconditioner in
    Kronecker form (equations 5 and 6 of the paper). The matrices begin at the identity, so the
    learner begins as MAML.

    Example:
        >>> import tfmeta
        >>> learner = tfmeta.MetaCurvature(tfmeta.networks.mlp(hidden=(8,)), inner_rate=0.1)
        >>> [tuple(variable.shape) for variable in learner.variables_of("curvature")[:3]]
        [(1, 1), (8, 8), (8, 8)]

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights that adapt, or a dict from patterns to rates.
        inner_steps: number of inner steps in training.
        first_order: whether to leave second derivatives of the network out; the derivative with
            respect to the matrices stays.
        inner_optimizer: "sgd", "momentum", "adam", or an instance of `tfmeta.inner.SGD`, `.Adam`.
        **options: of `MetaLearner`.
    """

    adaptation: GradientDescent
    chooses = ("adaptation", "gradient_rule")

    def __init__(
        self,
        network: keras.Model,
        inner_rate: Any = 0.01,
        inner_steps: int = 1,
        *,
        first_order: bool = False,
        inner_optimizer: Any = "sgd",
        **options: Unpack[LearnerOptions],
    ):
        super().__init__(
            network,
            descent(inner_rate, inner_optimizer, direction=LearnedCurvature()),
            QueryGradient(first_order),
            inner_steps=inner_steps,
            **options,
        )
        self.first_order = first_order
        self.inner_optimizer = self.adaptation.optimizer
