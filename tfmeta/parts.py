"""What a learner is composed of: the public names for a learner of your own.

A learner takes an `adaptation` (how a support set moves the weights) and a `gradient_rule` (what
the query set says about the initialisation): `tfmeta.MetaLearner(network, adaptation, rule)`.
`GradientDescent` and `QueryGradient` are MAML; every field of `GradientDescent` is a part that you
can replace by your own.
"""

from tfmeta.learners.core.adaptation import Adaptation, Adapted, TaskContext, adapt
from tfmeta.learners.core.embedding import Embedding
from tfmeta.learners.core.gradient_descent import (
    Descent,
    FixedRates,
    FreshSlots,
    GradientDescent,
    Initialization,
    PlainGradient,
    Rates,
    Sampling,
    SharedLayers,
    WholeSet,
)
from tfmeta.learners.core.gradient_rule import (
    GradientRule,
    Objective,
    ObjectiveGradient,
    QueryGradient,
    TaskFunctions,
    TaskGradient,
)
from tfmeta.learners.core.parts import Group, Part, WeightSpec
from tfmeta.learners.core.task_network import Answers, TaskNetwork

__all__ = [
    "Adaptation",
    "Adapted",
    "Answers",
    "Descent",
    "Embedding",
    "FixedRates",
    "FreshSlots",
    "GradientDescent",
    "GradientRule",
    "Group",
    "Initialization",
    "Objective",
    "ObjectiveGradient",
    "Part",
    "PlainGradient",
    "QueryGradient",
    "Rates",
    "Sampling",
    "SharedLayers",
    "TaskContext",
    "TaskFunctions",
    "TaskGradient",
    "TaskNetwork",
    "WeightSpec",
    "WholeSet",
    "adapt",
]
