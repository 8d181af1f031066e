"""How a task changes the initialisation: one file an algorithm."""

from tfmeta.learners.bfa import BFA
from tfmeta.learners.bmaml import BMAML
from tfmeta.learners.gradient_combination import GradientCombination
from tfmeta.learners.imaml import IMAML
from tfmeta.learners.llama import LLAMA
from tfmeta.learners.maml import MAML
from tfmeta.learners.maml_plus_plus import MAMLPlusPlus
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.learners.meta_sgd import MetaSGD
from tfmeta.learners.mt_net import MTNet
from tfmeta.learners.platipus import PLATIPUS
from tfmeta.learners.reptile import Reptile

__all__ = [
    "BFA",
    "BMAML",
    "IMAML",
    "LLAMA",
    "MAML",
    "PLATIPUS",
    "GradientCombination",
    "MAMLPlusPlus",
    "MTNet",
    "MetaLearner",
    "MetaSGD",
    "Reptile",
]
