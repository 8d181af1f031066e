"""Adaptation as a pure function of weights: networks, losses, optimisers, loops, derivatives."""

from tfmeta.derivatives.exact import exact_derivatives, portable_operations
from tfmeta.inner.batch_dependence import mixing_layers
from tfmeta.inner.conjugate_gradient import conjugate_gradient
from tfmeta.inner.counted_paths import counted_paths
from tfmeta.inner.gaussian import DiagonalGaussian, kl_divergence
from tfmeta.inner.gradients import (
    all_finite,
    dot,
    finite_assertions,
    finite_tasks,
    gradient,
    hessian_operator,
    hessian_vector_product,
)
from tfmeta.inner.inexact import check_exactness
from tfmeta.inner.keras_internals import is_seed
from tfmeta.inner.laplace import FullPrecision, KroneckerPrecision
from tfmeta.inner.loop import run_steps
from tfmeta.inner.loss_kinds import LossKind, compares_elements, kind_of
from tfmeta.inner.losses import (
    SetLoss,
    element_presence,
    mask_of,
    masks_of,
    with_mask,
    with_own_losses,
)
from tfmeta.inner.network import PureNetwork, refuse, relative_path
from tfmeta.inner.optimizers import SGD, Adam, Projection
from tfmeta.inner.selection import by_pattern, patterns_of, select
from tfmeta.inner.svgd import svgd_direction
from tfmeta.inner.trials import have_effect
from tfmeta.inner.trunk import Features, TracedTrunk, Trunk, find_trunk

__all__ = [
    "SGD",
    "Adam",
    "DiagonalGaussian",
    "Features",
    "FullPrecision",
    "KroneckerPrecision",
    "LossKind",
    "Projection",
    "PureNetwork",
    "SetLoss",
    "TracedTrunk",
    "Trunk",
    "all_finite",
    "by_pattern",
    "check_exactness",
    "compares_elements",
    "conjugate_gradient",
    "counted_paths",
    "dot",
    "element_presence",
    "exact_derivatives",
    "find_trunk",
    "finite_assertions",
    "finite_tasks",
    "gradient",
    "have_effect",
    "hessian_operator",
    "hessian_vector_product",
    "is_seed",
    "kind_of",
    "kl_divergence",
    "mask_of",
    "masks_of",
    "mixing_layers",
    "patterns_of",
    "portable_operations",
    "refuse",
    "relative_path",
    "run_steps",
    "select",
    "svgd_direction",
    "with_mask",
    "with_own_losses",
]
