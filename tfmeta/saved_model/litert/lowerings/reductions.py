"""Reductions over tensors of more axes than LiteRT's delegates take."""

import math
from itertools import groupby

import tensorflow as tf

from tfmeta.saved_model.litert.lowerings.registry import lowering

_MOST_AXES = 5


@lowering("Max", "Mean", "Min", "Prod", "Sum")
def _reduction(operation, x, axes):
    """Axes of size 1 are left out; neighbours that are both reduced, or both kept, are merged."""
    axes = tf.get_static_value(axes)
    if axes is None:
        return None
    reduced = {int(axis) % x.shape.rank for axis in axes.reshape(-1)}
    if x.shape.rank <= _MOST_AXES:
        return _one_by_one(operation, x, reduced)
    sizes = [(axis in reduced, size) for axis, size in enumerate(x.shape) if size != 1]
    merged = [
        (is_reduced, math.prod(size for _, size in group))
        for is_reduced, group in groupby(sizes, key=lambda pair: pair[0])
    ]
    function = _function(operation)
    compact = tf.reshape(x, [size for _, size in merged])
    found = function(compact, [position for position, (r, _) in enumerate(merged) if r])
    return [tf.reshape(found, operation.outputs[0].shape)]


def _one_by_one(operation, x, axes):
    """One axis after the other: LiteRT adds in one long row, whose rounding errors add up."""
    if len(axes) < 2 or operation.type not in ("Mean", "Sum"):
        return None
    for axis in sorted(axes, reverse=True):
        x = _function(operation)(x, axis)
    return [tf.reshape(x, operation.outputs[0].shape)]


def _function(operation):
    return getattr(tf, f"reduce_{operation.type.lower()}")
