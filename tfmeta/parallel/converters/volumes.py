"""Converters for three-dimensional convolutions: their taps along the depth become channels.

A volume [N, depth, height, width, C] becomes one image for each position of the kernel along the
depth, [N * out_depth, height, width, taps * C]; then the two-dimensional operations apply.
"""

import dataclasses
from typing import Any

import tensorflow as tf

from tfmeta.parallel.converters import convolutions
from tfmeta.parallel.converters.registry import task_converter


@task_converter("Conv3D")
def _convolve(pfor_input):
    (volumes, volumes_stacked, _), (kernels, kernels_stacked, _) = _inputs(pfor_input, 0, 1)
    if not kernels_stacked:
        return _for_shared_kernel(
            volumes,
            lambda flat: tf.raw_ops.Conv3D(input=flat, filter=kernels, **_attrs(pfor_input)),
        )
    plan = _plan(pfor_input, pfor_input.op.inputs[0].shape, pfor_input.op.inputs[1].shape)
    if plan is None:
        return None
    images = plan.images(volumes, volumes_stacked)
    outputs = convolutions.convolve(images, volumes_stacked, plan.kernels(kernels), plan.image)
    return plan.unfold(outputs)


@task_converter("Conv3DBackpropFilterV2")
def _kernel_gradient(pfor_input):
    (volumes, volumes_stacked, _), (grads, grads_stacked, _) = _inputs(pfor_input, 0, 2)
    plan = _plan(pfor_input, pfor_input.op.inputs[0].shape, pfor_input.op.outputs[0].shape)
    if plan is None:
        return None
    images = plan.images(volumes, volumes_stacked)
    gradient = convolutions.kernel_gradient(
        images, volumes_stacked, grads, grads_stacked, plan.image
    )
    return plan.unfold_kernels(gradient)


@task_converter("Conv3DBackpropInputV2")
def _volume_gradient(pfor_input):
    (kernels, kernels_stacked, _), (grads, _, _) = _inputs(pfor_input, 1, 2)
    shape = pfor_input.op.outputs[0].shape
    if None in shape[1:].as_list():
        return None
    if not kernels_stacked:

        def shared(flat):
            return tf.raw_ops.Conv3DBackpropInputV2(
                input_sizes=[tf.shape(flat)[0], *shape[1:].as_list()],
                filter=kernels,
                out_backprop=flat,
                **_attrs(pfor_input),
            )

        return _for_shared_kernel(grads, shared)
    plan = _plan(pfor_input, shape, pfor_input.op.inputs[1].shape)
    if plan is None:
        return None
    grads_stacked = pfor_input.input(2)[1]
    images = convolutions.image_gradient(plan.kernels(kernels), grads, grads_stacked, plan.image)
    return plan.volumes(images)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """How volumes and kernels of one convolution are folded; `image` is the folded convolution."""

    depth: int
    channels: int
    out_depth: int
    taps: int
    stride: int
    dilation: int
    pad_before: int
    image: convolutions.Convolution

    def images(self, volumes, stacked):
        """[T, N, depth, h, w, C] to [T, N, out_depth, h, w, taps * C]; without T unless stacked."""
        last = (self.out_depth - 1) * self.stride + (self.taps - 1) * self.dilation
        after = max(last + 1 - self.pad_before - self.depth, 0)
        axis = 2 if stacked else 1
        paddings = [(0, 0)] * (axis + 4)
        paddings[axis] = (self.pad_before, after)
        volumes = tf.pad(volumes, paddings)
        reach = (self.out_depth - 1) * self.stride + 1
        slices = [
            volumes[(slice(None),) * axis + (slice(start, start + reach, self.stride),)]
            for start in range(0, self.taps * self.dilation, self.dilation)
        ]
        # Channels by group, then tap: a group's channels stay together.
        folded = tf.stack([self._by_group(part) for part in slices], axis=-2)
        lead = tf.shape(volumes)[:axis]
        size = [self.out_depth, *self.image.image_size, self.image.channels]
        return tf.ensure_shape(
            tf.reshape(folded, tf.concat([lead, size], axis=0)), [*[None] * axis, *size]
        )

    def volumes(self, images):
        """The transpose of `images`: adds [T, N * out_depth, h, w, taps * C] into volumes."""
        tasks, size = tf.shape(images)[0], self.image.image_size
        group = self.channels // self.image.groups
        shape = [tasks, -1, self.out_depth, *size, self.image.groups, self.taps, group]
        parts = tf.unstack(tf.reshape(images, shape), axis=-2)
        length = (self.out_depth - 1) * self.stride + (self.taps - 1) * self.dilation + 1
        length = max(length, self.pad_before + self.depth)
        total: Any = 0
        for tap, part in enumerate(parts):
            part = tf.reshape(part, [tasks, -1, self.out_depth, *size, self.channels])
            total += self._placed(part, tap * self.dilation, length)
        return total[:, :, self.pad_before : self.pad_before + self.depth]

    def _placed(self, part, start, length):
        """Puts positions [.., out_depth, ..] a stride apart, from `start`, among zeros."""
        if self.stride > 1:
            part = tf.expand_dims(part, 3)
            part = tf.pad(part, [(0, 0)] * 3 + [(0, self.stride - 1)] + [(0, 0)] * 3)
            shape = part.shape[4:].as_list()
            part = tf.reshape(part, [tf.shape(part)[0], -1, self.out_depth * self.stride, *shape])
            part = part[:, :, : (self.out_depth - 1) * self.stride + 1]
        used = start + (self.out_depth - 1) * self.stride + 1
        return tf.pad(part, [(0, 0), (0, 0), (start, length - used), (0, 0), (0, 0), (0, 0)])

    def kernels(self, kernels):
        """[T, taps, kh, kw, C / G, filters] to [T, kh, kw, taps * C / G, filters]."""
        kernels = tf.transpose(kernels, [0, 2, 3, 1, 4, 5])
        shape = kernels.shape.as_list()
        return tf.reshape(kernels, [-1, *shape[1:3], shape[3] * shape[4], shape[5]])

    def unfold_kernels(self, kernels):
        """The inverse of `kernels`."""
        height, width, channels, filters = kernels.shape[1:].as_list()
        kernels = tf.reshape(
            kernels, [-1, height, width, self.taps, channels // self.taps, filters]
        )
        return tf.transpose(kernels, [0, 3, 1, 2, 4, 5])

    def unfold(self, outputs):
        """[T, N * out_depth, h, w, filters] to [T, N, out_depth, h, w, filters]."""
        shape = outputs.shape[2:].as_list()
        return tf.reshape(outputs, [tf.shape(outputs)[0], -1, self.out_depth, *shape])

    def _by_group(self, part):
        shape = tf.concat(
            [tf.shape(part)[:-1], [self.image.groups, self.channels // self.image.groups]], axis=0
        )
        return tf.reshape(part, shape)


def _plan(pfor_input, volume, kernel):
    """The plan of a convolution of this volume's and kernel's (unstacked) static shapes."""
    padding = pfor_input.get_attr("padding").decode()
    known = volume.rank is not None and kernel.is_fully_defined() and None not in volume[1:]
    if not known or pfor_input.get_attr("data_format") != b"NDHWC":
        return None
    strides = pfor_input.get_attr("strides")[1:4]
    dilations = pfor_input.get_attr("dilations")[1:4]
    _, depth, height, width, channels = volume.as_list()
    taps, kernel_height, kernel_width, group, filters = kernel.as_list()
    reach = (taps - 1) * dilations[0] + 1
    same = padding == "SAME"
    out_depth = -(-depth // strides[0]) if same else (depth - reach) // strides[0] + 1
    total = max((out_depth - 1) * strides[0] + reach - depth, 0) if same else 0
    image = convolutions.Convolution(
        image_size=(height, width),
        channels=taps * channels,
        window=(kernel_height, kernel_width),
        strides=tuple(strides[1:]),
        dilations=tuple(dilations[1:]),
        padding=padding,
        filters=filters,
        groups=channels // group,
    )
    return _Plan(
        depth, channels, out_depth, taps, strides[0], dilations[0], total // 2, image=image
    )


def _inputs(pfor_input, *indices):
    return [pfor_input.input(index) for index in indices]


def _attrs(pfor_input):
    names = ("strides", "padding", "data_format", "dilations")
    attrs = {name: pfor_input.get_attr(name) for name in names}
    return {k: v.decode() if isinstance(v, bytes) else list(v) for k, v in attrs.items()}


def _for_shared_kernel(stacked, operation):
    """Runs the native operation on the examples of all tasks [T, N, ...] at once."""
    shape = tf.shape(stacked)
    result = operation(tf.reshape(stacked, [-1, *stacked.shape[2:]]))
    return tf.reshape(result, tf.concat([shape[:2], tf.shape(result)[1:]], axis=0))
