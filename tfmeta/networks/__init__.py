"""The papers' networks and two for sequences, plain Keras models with fixed layer names."""

from tfmeta.networks.context import Context
from tfmeta.networks.conv4 import conv4
from tfmeta.networks.mlp import mlp, nonconv
from tfmeta.networks.sequences import text_mean, window_conv
from tfmeta.networks.t_net import t_net

__all__ = ["Context", "conv4", "mlp", "nonconv", "t_net", "text_mean", "window_conv"]
