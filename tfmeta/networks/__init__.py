"""The papers' networks and two for sequences, plain Keras models with fixed layer names."""

from tfmeta.networks.context import Context
from tfmeta.networks.conv4 import conv4
from tfmeta.networks.mlp import context_mlp, mlp, nonconv
from tfmeta.networks.sequences import text_mean, window_conv
from tfmeta.networks.t_net import t_net

__all__ = ["Context", "context_mlp", "conv4", "mlp", "nonconv", "t_net", "text_mean", "window_conv"]
