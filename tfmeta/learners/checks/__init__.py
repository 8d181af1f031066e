"""What a learner refuses, with the rule, what it received, and what to do."""

from tfmeta.learners.checks.loss import (
    check_class_axis,
    check_likelihood,
    check_loss,
    check_loss_weights,
    check_second_derivative,
    warn_of_logits,
)
from tfmeta.learners.checks.network import (
    check_compiled,
    check_constraints,
    check_effect,
    check_exactness,
    check_layers,
    check_network,
    check_one_answer,
    check_own_methods,
    check_weights,
    layers_of,
    no_quantize,
)
from tfmeta.learners.checks.optimizer import check_one_replica, check_optimizer, check_replicas
from tfmeta.learners.checks.options import (
    check_noise,
    check_options,
    check_part,
    check_rates,
    check_samples,
)

__all__ = [
    "check_class_axis",
    "check_compiled",
    "check_constraints",
    "check_effect",
    "check_exactness",
    "check_layers",
    "check_likelihood",
    "check_loss",
    "check_loss_weights",
    "check_network",
    "check_noise",
    "check_one_answer",
    "check_one_replica",
    "check_optimizer",
    "check_options",
    "check_own_methods",
    "check_part",
    "check_rates",
    "check_replicas",
    "check_samples",
    "check_second_derivative",
    "check_weights",
    "layers_of",
    "no_quantize",
    "warn_of_logits",
]
