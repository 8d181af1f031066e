"""How a task changes the initialisation: one file an algorithm."""

from tfmeta.learners.bfa import BFA
from tfmeta.learners.bmaml import BMAML
from tfmeta.learners.fine_tuning import FineTuning
from tfmeta.learners.gradient_combination import GradientCombination
from tfmeta.learners.imaml import IMAML
from tfmeta.learners.llama import LLAMA
from tfmeta.learners.maml import MAML
from tfmeta.learners.maml_plus_plus import MAMLPlusPlus
from tfmeta.learners.matching_network import MatchingNetwork
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.learners.meta_sgd import MetaSGD
from tfmeta.learners.mt_net import MTNet
from tfmeta.learners.nearest_neighbor import NearestNeighbor
from tfmeta.learners.platipus import PLATIPUS
from tfmeta.learners.prototypical_network import PrototypicalNetwork
from tfmeta.learners.reptile import Reptile

__all__ = [
    "BFA",
    "BMAML",
    "IMAML",
    "LLAMA",
    "MAML",
    "PLATIPUS",
    "FineTuning",
    "GradientCombination",
    "MAMLPlusPlus",
    "MTNet",
    "MatchingNetwork",
    "MetaLearner",
    "MetaSGD",
    "NearestNeighbor",
    "PrototypicalNetwork",
    "Reptile",
]
