"""Batch normalisation in few passes over the data, exact to any order.

With m and v the mean and variance of the R numbers x of a channel, s = sqrt(v + epsilon),
h = (x - m) / s and P(z) = z - mean(z) - h mean(z h), the derivatives of the three functions

    N(x; c, b) = c h + b        G(z, x; c) = c P(z) / s        S(z, x) = sum(z h)

are made of these three again, which closes all orders:

    of <u, N(x; c, b)>:  by x  G(u, x; c)     by c  S(u, x)       by b  sum(u)
    of k S(z, x):        by z  N(x; k, 0)     by x  G(z, x; k)
    of <u, G(z, x; c)>:  by z  G(u, x; c)     by c  L = sum(u G(z, x; 1))
                         by x  -(S(z, x) G(u, x; c) + S(u, x) G(z, x; c)) / (R s)
                               - N(x; c L / (R s), 0)

since P is symmetric, the Jacobian of h is P / s, and that of s is h / R. Each is recorded as one
operation of what it depends on; m and v carry derivatives of their own (`moments`), for users
who take them besides, and for s where it stands in the last line.
"""

import tensorflow as tf

from tfmeta.inner.batch_kernels import ComposedKernels, FusedKernels, count, totals
from tfmeta.inner.recorded import recorded


class BatchNormalization:
    """Normalises `inputs` [..., C] by their own moments over all axes but the last.

    Attributes:
        mean: [C].
        variance: [C], not Bessel's.
    """

    def __init__(self, inputs, *, fused):
        """Takes the moments.

        Args:
            inputs: floating-point tensor of rank 2 or more.
            fused: whether TensorFlow's fused operations may compute, where they can.
        """
        self.inputs = inputs
        self._kernels = FusedKernels if fused and FusedKernels.serve(inputs) else ComposedKernels
        self.mean, self.variance = recorded(
            "Moments",
            lambda: list(self._kernels.moments(inputs)),
            self._moments_gradient,
            [inputs],
        )

    def __call__(self, epsilon, scale, offset):
        """Returns `scale h + offset` [..., C], None standing for 1 and 0."""
        return _Normalised(self, epsilon).outputs(scale, offset)

    def _moments_gradient(self, mean_gradient, variance_gradient):
        size = count(self.inputs)
        slope = variance_gradient * (2 / size)
        return [self.inputs * slope + (mean_gradient / size - slope * self.mean)]


class _Normalised:
    """The three functions at one epsilon."""

    def __init__(self, moments, epsilon):
        self._x = moments.inputs
        self._kernels = moments._kernels
        self._moments = (moments.mean, moments.variance, epsilon)
        self._deviation = tf.sqrt(moments.variance + epsilon)

    def outputs(self, scale, offset):
        def gradient(upstream):
            found = [self._gradient(upstream, scale)[0]]
            if scale is not None:
                found.append(self._sums(upstream))
            if offset is not None:
                found.append(totals(upstream))
            return found

        (outputs,) = recorded(
            "BatchNormalization",
            lambda: [self._kernels.normalised(self._x, *self._moments, scale, offset)],
            gradient,
            [self._x, *(t for t in (scale, offset) if t is not None)],
        )
        return outputs

    def _gradient(self, z, scale):
        """`G(z, x; c)`, and `S(z, x)` as it came with it."""
        sums = None

        def forward():
            nonlocal sums
            found, sums = self._kernels.gradient(z, self._x, *self._moments, scale)
            return [found]

        def gradient(upstream):
            of_z, upstream_sums = self._gradient(upstream, scale)
            size = count(self._x) * self._deviation
            product = totals(upstream * found)
            of_x = (
                of_z * (-z_sums / size)
                + found * (-upstream_sums / size)
                + self.outputs(-product / size, None)
            )
            if scale is None:
                return [of_z, of_x]
            return [of_z, of_x, totals(upstream * self._gradient(z, None)[0])]

        (found,) = recorded(
            "BatchNormalizationGradient",
            forward,
            gradient,
            [z, self._x, *([] if scale is None else [scale])],
        )
        z_sums = self._sums(z, lambda: tf.identity(sums))
        return found, z_sums

    def _sums(self, z, forward=None):
        """`S(z, x)`."""

        def gradient(upstream):
            return [self.outputs(upstream, None), self._gradient(z, upstream)[0]]

        compute = forward or (lambda: self._kernels.sums(z, self._x, *self._moments))
        (sums,) = recorded("BatchNormalizationSums", lambda: [compute()], gradient, [z, self._x])
        return sums
