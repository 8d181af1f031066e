"""Arithmetic that the converter gets wrong, and elementary functions that LiteRT lacks.

TensorFlow 2.21's converter moves transpositions behind the operation that reads them, and swaps
the operands where the first one is a constant: `constant - transpose(x)` comes out as
`transpose(x) - constant`, `constant / transpose(x)` as its inverse, `1 / transpose(x)` as
`transpose(x)`. Weights are constants to it. A sum and a product may be swapped, and a power is
left alone.
"""

import tensorflow as tf

from tfmeta.saved_model.litert.lowerings.registry import lowering


def minus(a, b):
    """`a - b`."""
    return a + negative(b)


def negative(x):
    """`-x`."""
    return x * tf.constant(-1, x.dtype)


def over(a, b):
    """`a / b`, of floats."""
    return a * tf.pow(b, tf.constant(-1, b.dtype))


def where(condition, dtype):
    """1 where a condition holds, else 0."""
    return tf.cast(condition, dtype)


@lowering("Sub")
def _sub(operation, a, b):
    return None if operation.outputs[0].shape.rank == 0 else [minus(a, b)]


@lowering("Neg")
def _neg(operation, x):
    return None if x.shape.rank == 0 else [negative(x)]


@lowering("RealDiv", "Div")
def _div(operation, a, b):
    if not b.dtype.is_floating or b.shape.rank == 0 or tf.get_static_value(b) is not None:
        return None
    return [over(a, b)]


@lowering("Inv", "Reciprocal")
def _reciprocal(operation, x):
    return [tf.pow(x, tf.constant(-1, x.dtype))]


@lowering("DivNoNan", "Xdivy")
def _div_no_nan(operation, a, b):
    none = b == 0 if operation.type == "DivNoNan" else a == 0
    safe = tf.where(none, tf.ones_like(b), b)
    quotient = over(a, safe)
    return [tf.where(none, tf.zeros_like(quotient), quotient)]


@lowering("InvGrad", "ReciprocalGrad")
def _reciprocal_grad(operation, y, upstream):
    return [negative(upstream) * y * y]


@lowering("SqrtGrad")
def _sqrt_grad(operation, y, upstream):
    return [over(upstream * tf.constant(0.5, y.dtype), y)]


@lowering("RsqrtGrad")
def _rsqrt_grad(operation, y, upstream):
    return [upstream * tf.constant(-0.5, y.dtype) * y * y * y]


@lowering("ClipByValue")
def _clip(operation, x, low, high):
    return [tf.minimum(tf.maximum(x, low), high)]


@lowering("Atan")
def _atan(operation, x):
    return [tf.atan2(x, tf.ones_like(x))]


@lowering("Tan")
def _tan(operation, x):
    return [over(tf.sin(x), tf.cos(x))]


@lowering("Sinh", "Cosh")
def _hyperbolic(operation, x):
    up, down = tf.exp(x), tf.exp(negative(x))
    down = negative(down) if operation.type == "Sinh" else down
    return [(up + down) * tf.constant(0.5, x.dtype)]


@lowering("Erf")
def _erf(operation, x):
    return [_error_function(x)]


@lowering("Erfc")
def _erfc(operation, x):
    return [tf.constant(1, x.dtype) + negative(_error_function(x))]


def _error_function(x):
    """Abramowitz and Stegun (1964), formula 7.1.26: within 1.5e-7."""
    size = tf.abs(x)
    t = over(tf.ones_like(x), size * 0.3275911 + 1.0)
    terms = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    series = tf.zeros_like(x)
    for term in terms:
        series = (series + term) * t
    return tf.sign(x) * (negative(series * tf.exp(negative(size * size))) + 1.0)


@lowering("StopGradient", "PreventGradient", "EnsureShape", "Snapshot", "CheckNumerics")
def _same(operation, x, *_):
    return [x]


@lowering("IdentityN")
def _all_the_same(operation, *tensors):
    return list(tensors)
