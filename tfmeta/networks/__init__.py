"""The papers' networks, two for sequences, and heads on pretrained networks: plain Keras models."""

from tfmeta.networks.applications import application
from tfmeta.networks.context import Context
from tfmeta.networks.conv4 import conv4
from tfmeta.networks.lora import enable_lora
from tfmeta.networks.mlp import context_mlp, mlp, nonconv
from tfmeta.networks.pixels import Pixels
from tfmeta.networks.sequences import text_mean, window_conv
from tfmeta.networks.t_net import t_net
from tfmeta.networks.with_head import with_head

__all__ = [
    "Context",
    "Pixels",
    "application",
    "context_mlp",
    "conv4",
    "enable_lora",
    "mlp",
    "nonconv",
    "t_net",
    "text_mean",
    "window_conv",
    "with_head",
]
