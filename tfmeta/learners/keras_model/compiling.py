"""What `compile` settles in a learner: its losses, and what its parts make of them."""

from collections.abc import Iterator
from typing import Any

from tfmeta import inner
from tfmeta.learners import checks
from tfmeta.learners.core.gradient_rule import TaskFunctions


def set_losses(learner, loss: Any, factor: float, *, xla: bool) -> None:
    """Checks what was compiled and gives the losses to the learner's network and parts.

    Args:
        learner: a `MetaLearner`, compiled as a `keras.Model`.
        loss: of query sets, as given to `compile`.
        factor: of the loss.
        xla: whether XLA compiles the learner's steps.

    Raises:
        ValueError: for an optimizer or a loss that the learner can't honour.
    """
    checks.check_optimizer(learner.optimizer, learner.meta_gradient_clip)
    checks.check_own_methods(learner)
    checks.check_weights(learner)
    if learner.loss_function is None:  # Once a learner; compiling again changes no layer.
        checks.check_exactness(learner)
    learner.loss_function = inner.SetLoss(loss, factor)
    learner.inner_loss_function = (
        learner.loss_function if learner.inner_loss is None else inner.SetLoss(learner.inner_loss)
    )
    checks.check_second_derivative(learner)
    for function in {learner.loss_function, learner.inner_loss_function}:
        checks.check_class_axis(function, learner.network)
        checks.warn_of_logits(function, learner.network)
    network = learner.task_network
    network.pure.xla = xla
    if network.embedding is not None:
        network.embedding.pure.xla = network.pure.xla
    network = network.with_losses(
        learner.inner_loss_function, learner.loss_function, type(learner).__name__
    )
    learner.task_network = network
    for part in learner.parts:
        part.check_loss(network)
    learner.task_functions = TaskFunctions(
        network,
        learner.adaptation,
        learner.inner_steps,
        learner.parameter_paths,
        frozenset(_optional_paths(learner)),
        learner.rematerialize,
    )


def _optional_paths(learner) -> Iterator[str]:
    """Paths of the parameters that may lack a gradient."""
    for part in learner.parts:
        yield from part.without_gradient(learner.task_network)
    for name in learner.optional_groups:
        yield from learner.parameter_groups.paths_of(name)
    if not learner.inner_steps:  # What directs the steps has nothing to learn from.
        for name in learner.parameter_groups.names[1:]:
            yield from learner.parameter_groups.paths_of(name)
