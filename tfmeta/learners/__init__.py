"""How a task changes the initialisation: one file an algorithm."""

from tfmeta.learners.gradient_combination import GradientCombination
from tfmeta.learners.imaml import IMAML
from tfmeta.learners.maml import MAML
from tfmeta.learners.maml_plus_plus import MAMLPlusPlus
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.learners.meta_sgd import MetaSGD
from tfmeta.learners.mt_net import MTNet
from tfmeta.learners.reptile import Reptile

__all__ = [
    "IMAML",
    "MAML",
    "GradientCombination",
    "MAMLPlusPlus",
    "MTNet",
    "MetaLearner",
    "MetaSGD",
    "Reptile",
]
