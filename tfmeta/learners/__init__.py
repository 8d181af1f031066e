"""How a task changes the initialisation: one file an algorithm."""

from tfmeta.learners.fine_tuning import FineTuning
from tfmeta.learners.imaml import IMAML
from tfmeta.learners.maml import MAML
from tfmeta.learners.matching_network import MatchingNetwork
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.learners.meta_sgd import MetaSGD
from tfmeta.learners.nearest_neighbor import NearestNeighbor
from tfmeta.learners.prototypical_network import PrototypicalNetwork
from tfmeta.learners.reptile import Reptile

__all__ = [
    "IMAML",
    "MAML",
    "FineTuning",
    "MatchingNetwork",
    "MetaLearner",
    "MetaSGD",
    "NearestNeighbor",
    "PrototypicalNetwork",
    "Reptile",
]
