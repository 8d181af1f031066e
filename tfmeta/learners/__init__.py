"""How a task changes the initialisation: one file an algorithm."""

from tfmeta.learners.alfa import ALFA
from tfmeta.learners.boil import BOIL
from tfmeta.learners.cavia import CAVIA
from tfmeta.learners.embedding.fine_tuning import FineTuning
from tfmeta.learners.embedding.matching_network import MatchingNetwork
from tfmeta.learners.embedding.nearest_neighbor import NearestNeighbor
from tfmeta.learners.embedding.prototypical_network import PrototypicalNetwork
from tfmeta.learners.gradient_combination import GradientCombination
from tfmeta.learners.head_learner import head_learner
from tfmeta.learners.imaml import IMAML
from tfmeta.learners.maml import MAML
from tfmeta.learners.maml_plus_plus import MAMLPlusPlus
from tfmeta.learners.meta_curvature import MetaCurvature
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.learners.meta_sgd import MetaSGD
from tfmeta.learners.mt_net import MTNet
from tfmeta.learners.probabilistic.bfa import BFA
from tfmeta.learners.probabilistic.bmaml import BMAML
from tfmeta.learners.probabilistic.llama import LLAMA
from tfmeta.learners.probabilistic.platipus import PLATIPUS
from tfmeta.learners.proto_maml import ProtoMAML
from tfmeta.learners.r2d2 import R2D2
from tfmeta.learners.reptile import Reptile
from tfmeta.learners.unicorn_maml import UnicornMAML

__all__ = [
    "ALFA",
    "BFA",
    "BMAML",
    "BOIL",
    "CAVIA",
    "IMAML",
    "LLAMA",
    "MAML",
    "PLATIPUS",
    "R2D2",
    "FineTuning",
    "GradientCombination",
    "MAMLPlusPlus",
    "MTNet",
    "MatchingNetwork",
    "MetaCurvature",
    "MetaLearner",
    "MetaSGD",
    "NearestNeighbor",
    "ProtoMAML",
    "PrototypicalNetwork",
    "Reptile",
    "UnicornMAML",
    "head_learner",
]
