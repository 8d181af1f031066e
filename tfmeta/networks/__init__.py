"""The papers' networks, as plain Keras models with fixed layer names."""

from tfmeta.networks.conv4 import conv4
from tfmeta.networks.mlp import mlp, nonconv
from tfmeta.networks.t_net import t_net

__all__ = ["conv4", "mlp", "nonconv", "t_net"]
