"""`check_learner`: whether a learner of your own has the properties of the library's learners."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfmeta.learners.core.gradient_rule import ObjectiveGradient, QueryGradient
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.testing.case import KINDS, Case, made_up_tasks
from tfmeta.testing.properties import PROPERTIES


def check_learner(
    make_learner: Callable[[keras.Model], MetaLearner],
    *,
    tasks: tuple | None = None,
    kind: str | None = None,
    oracle: Callable[..., list] | None = None,
) -> None:
    """Checks the properties that a learner needs for training, saving and serving.

    In float64, on a small network: the meta-gradient equals finite differences of the objective
    (or the oracle), tasks in one pass equal tasks one after another, answers do not depend on the
    batch's other tasks, steps of one shape are traced once, a `.keras` file goes on as the learner
    does, and the SavedModel answers as the learner does.

    Example:

        def test_my_learner():
            tfmeta.testing.check_learner(MyLearner, kind="classification")

    Args:
        make_learner: the learner's class, or a function of a built float64 network that gives a
            learner which is not compiled. The network ends in a dense layer.
        tasks: a batch `((support_x, support_y, query_x), query_y)` of at least two tasks, numpy
            arrays [T, ...], inputs in float64; None: made-up tasks. Inputs are one tensor.
        kind: "regression" (mean squared error) or "classification" (integer labels, logits);
            None: by the type of the tasks' targets, regression without tasks.
        oracle: the gradient of one task by another way, a function of the arguments
            `(learner, parameters, task, state, key)` to a list of arrays, order of
            `learner.parameter_variables`. None: finite differences of the objective, for rules
            that write one (`tfmeta.parts.ObjectiveGradient`).

    Raises:
        AssertionError: naming the first property that does not hold.
        ValueError: for a kind that is not known, or a missing oracle.
    """
    if kind is None:
        labelled = tasks is not None and np.asarray(tasks[1]).dtype.kind in "iu"
        kind = "classification" if labelled else "regression"
    if kind not in KINDS:
        raise ValueError(
            f"kind must be one of {', '.join(map(repr, KINDS))}. Received: {kind!r}. "
            "Pass the kind of task that the learner is for."
        )
    case = Case(make_learner, made_up_tasks(kind) if tasks is None else tasks, kind, oracle)
    _check_oracle(case.learner(), oracle)
    with _without_warnings():
        _check_properties(case)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Keeps TensorFlow from warning that functions are traced again, as many learners are made."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def _check_properties(case: Case) -> None:
    for holds in PROPERTIES:
        name = holds.__name__.replace("_", " ")
        try:
            holds(case)
        except Exception as error:
            what = str(error).rstrip(".")
            raised = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            message = f"Property '{name}' does not hold: {raised}{what}.{_hint(what)}"
            raise AssertionError(message) from error


def _hint(what: str) -> str:
    """What to do where tensors of float32 and float64 met."""
    if not ("double" in what or "float64" in what) or "float" not in what.replace("float64", ""):
        return ""
    return (
        " The check computes in float64: give variables of a part the dtype of the weights "
        "(network.adapted_variables[0].dtype), and cast constants to it."
    )


def _check_oracle(learner: Any, oracle) -> None:
    """Raises a ValueError where finite differences of an objective are not the gradient."""
    rule = learner.gradient_rule
    differs = isinstance(rule, QueryGradient) and rule.first_order
    if oracle is None and (differs or not isinstance(rule, ObjectiveGradient)):
        raise ValueError(
            "check_learner needs an oracle for a gradient that is not the derivative of an "
            f"objective. Received: oracle=None with the rule {type(rule).__name__}. Pass a "
            "function of (learner, parameters, task, state, key) to the gradient of one task."
        )
