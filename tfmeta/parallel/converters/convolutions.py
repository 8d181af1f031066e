"""Converters for convolutions whose kernels differ from task to task.

A convolution of T tasks with T kernels is, per task, one product of the input's patches with the
kernel [1]. Patches of all tasks are taken in one call; the products are one batched product.

    forward                 y = P(x) k
    gradient of the kernel  P(x)^T dy
    gradient of the input   for each phase of pixels, Q(dy) k^T

with P(x) the patches of an image and Q(dy) the output gradients that meet a pixel: pixels a stride
apart lie in the same taps of windows. The gradients of these three operations are again these
three, so derivatives of every order stay vectorised.

[1] Chellapilla, Puri, Simard (2006), High performance convolutional neural networks for document
    processing.
"""

import dataclasses

import tensorflow as tf

from tfmeta.parallel.converters.patches import Geometry, gradients_at, interleave, phases, windows
from tfmeta.parallel.converters.registry import task_converter


@task_converter("Conv2D")
def _convolve(pfor_input):
    (images, images_stacked, _), (kernels, kernels_stacked, _) = _inputs(pfor_input, 0, 1)
    geometry = _geometry(pfor_input, images, kernels, images_stacked, kernels_stacked)
    if geometry is None or (not kernels_stacked and geometry.groups == 1):
        return None
    if not kernels_stacked:
        flat, kernels = _one_task(images, kernels)
        return _tasks_again(convolve(flat, True, kernels, geometry), images)
    return convolve(images, images_stacked, kernels, geometry)


@task_converter("Conv2DBackpropFilter")
def _kernel_gradient(pfor_input):
    (images, images_stacked, _), (grads, grads_stacked, _) = _inputs(pfor_input, 0, 2)
    # The operand that holds the kernel's size need not be a constant; the output's shape is known.
    kernel = pfor_input.op.outputs[0].shape
    geometry = _geometry(pfor_input, images, kernel, images_stacked, False)
    if geometry is None or (not images_stacked and geometry.groups == 1):
        return None
    return kernel_gradient(images, images_stacked, grads, grads_stacked, geometry)


@task_converter("Conv2DBackpropInput")
def _image_gradient(pfor_input):
    (kernels, kernels_stacked, _), (grads, grads_stacked, _) = _inputs(pfor_input, 1, 2)
    image = pfor_input.op.outputs[0].shape
    geometry = _geometry(pfor_input, image, kernels, False, kernels_stacked)
    if geometry is None or (not kernels_stacked and geometry.groups == 1):
        return None
    if not kernels_stacked:
        flat, kernels = _one_task(grads, kernels)
        return _tasks_again(image_gradient(kernels, flat, True, geometry), grads)
    return image_gradient(kernels, grads, grads_stacked, geometry)


@dataclasses.dataclass(frozen=True)
class Convolution(Geometry):
    """A window on an image, and what comes out of it."""

    filters: int = 1
    groups: int = 1


def convolve(images, stacked, kernels, geometry):
    """Convolves images [[T,] N, height, width, C] with kernels [T, ...]."""
    product = tf.matmul(_columns(images, stacked, geometry), _kernel_matrix(kernels, geometry))
    shape = [_tasks(kernels), -1, *geometry.output_size]
    return _from_groups(product, shape, geometry.filters, geometry)


def kernel_gradient(images, images_stacked, grads, grads_stacked, geometry):
    """Gradient of the kernels [T, ...] from images and output gradients, at least one stacked."""
    columns = _columns(images, images_stacked, geometry)
    grads = _to_groups(grads, grads_stacked, geometry)
    if geometry.taps * geometry.channels <= geometry.filters:
        return _kernel_from_matrix(tf.matmul(columns, grads, transpose_a=True), geometry)
    # oneDNN transposes a first operand slowly; this is the narrower one.
    product = tf.matmul(grads, columns, transpose_a=True)
    return _kernel_from_matrix(tf.linalg.matrix_transpose(product), geometry)


def image_gradient(kernels, grads, grads_stacked, geometry):
    """Gradient of the images [T, N, height, width, C] from kernels [T, ...]."""
    flat = tf.reshape(grads, [-1, *geometry.output_size, geometry.filters])
    lead = [_tasks(grads)] if grads_stacked else [1]
    found = phases(geometry)
    parts = [_phase_gradient(phase, kernels, flat, lead, geometry) for phase in found]
    images = interleave(parts, found, geometry)
    return tf.reshape(images, [_tasks(kernels), -1, *geometry.image_size, geometry.channels])


def _phase_gradient(phase, kernels, grads, lead, geometry):
    """Gradient of one phase's pixels, [T * N, pixels, C]."""
    pixels, taps = phase.size[0] * phase.size[1], len(phase.taps)
    if not taps:
        examples = tf.shape(grads)[0] // lead[0] * _tasks(kernels)
        return tf.zeros([examples, pixels, geometry.channels], grads.dtype)
    met = tf.reshape(gradients_at(grads, phase, geometry), [*lead, -1, taps * geometry.filters])
    product = tf.matmul(
        _by_group(met, taps, geometry.filters, geometry), _tap_matrix(kernels, phase.taps, geometry)
    )
    return _from_groups(product, [-1, pixels], geometry.channels, geometry)


def _tap_matrix(kernels, taps, geometry):
    """Some taps of kernels [T, h, w, C / G, filters] as [T, (G,) taps * filters / G, C / G]."""
    groups, channels = geometry.groups, geometry.channels // geometry.groups
    matrix = tf.reshape(
        kernels, [_tasks(kernels), -1, channels, groups, geometry.filters // groups]
    )
    matrix = tf.transpose(tf.gather(matrix, taps, axis=1), [0, 3, 1, 4, 2])
    lead = [_tasks(kernels), groups] if groups > 1 else [_tasks(kernels)]
    return tf.reshape(matrix, [*lead, -1, channels])


def _one_task(examples, kernel):
    """All tasks' examples as one task's, and the kernel that they share as that task's.

    TensorFlow's own converters serve tasks that share a kernel, but for grouped convolutions:
    their native gradients do not exist on CPU.
    """
    return tf.reshape(examples, [1, -1, *examples.shape[2:]]), kernel[tf.newaxis]


def _tasks_again(results, examples):
    return tf.reshape(results, [_tasks(examples), -1, *results.shape[2:]])


def _inputs(pfor_input, *indices):
    return [pfor_input.input(index) for index in indices]


def _geometry(pfor_input, images, kernels, images_stacked, kernels_stacked):
    """Static description of the convolution, or None where something is not known or NCHW."""
    image, kernel = _shape(images), _shape(kernels)
    if image is None or kernel is None:
        return None
    image = image[1:] if images_stacked else image
    kernel = kernel[1:] if kernels_stacked else kernel
    padding = pfor_input.get_attr("padding").decode()
    if (
        pfor_input.get_attr("data_format") != b"NHWC"
        or padding not in ("SAME", "VALID")
        or None in image[1:]
        or None in kernel
    ):
        return None
    return Convolution(
        image_size=tuple(image[1:3]),
        channels=image[3],
        window=tuple(kernel[:2]),
        strides=tuple(pfor_input.get_attr("strides")[1:3]),
        dilations=tuple(pfor_input.get_attr("dilations")[1:3]),
        padding=padding,
        filters=kernel[3],
        groups=image[3] // kernel[2],
    )


def _tasks(tensor):
    static = tensor.shape[0]
    return tf.shape(tensor)[0] if static is None else static


def _shape(value):
    shape = value if isinstance(value, tf.TensorShape) else value.shape
    return None if shape.rank is None else shape.as_list()


def _columns(images, stacked, geometry):
    """Patches as a matrix a task and group: [T, (G,) N * positions, taps * channels]."""
    flat = tf.reshape(images, [-1, *geometry.image_size, geometry.channels])
    lead = [_tasks(images)] if stacked else [1]
    width = geometry.taps * geometry.channels
    matrix = tf.reshape(windows(flat, geometry), [*lead, -1, width])
    return _by_group(matrix, geometry.taps, geometry.channels, geometry)


def _by_group(matrix, taps, channels, geometry):
    """[T, rows, taps * channels] as [T, (G,) rows, taps * channels / G]."""
    groups = geometry.groups
    if groups == 1:
        return matrix
    tasks = _tasks(matrix)
    matrix = tf.reshape(matrix, [tasks, -1, taps, groups, channels // groups])
    matrix = tf.transpose(matrix, [0, 3, 1, 2, 4])
    return tf.reshape(matrix, [tasks, groups, -1, taps * channels // groups])


def _kernel_matrix(kernels, geometry):
    """Kernels [T, h, w, channels / G, filters] as [T, (G,) taps * channels / G, filters / G]."""
    groups, tasks = geometry.groups, _tasks(kernels)
    rows = geometry.taps * geometry.channels // groups
    if groups == 1:
        return tf.reshape(kernels, [tasks, rows, geometry.filters])
    matrix = tf.reshape(kernels, [tasks, rows, groups, geometry.filters // groups])
    return tf.transpose(matrix, [0, 2, 1, 3])


def _kernel_from_matrix(matrix, geometry):
    groups = geometry.groups
    if groups > 1:
        matrix = tf.transpose(matrix, [0, 2, 1, 3])
    channels = geometry.channels // groups
    return tf.reshape(matrix, [_tasks(matrix), *geometry.window, channels, geometry.filters])


def _to_groups(grads, stacked, geometry):
    """Output gradients ([T,] N, h, w, filters] as [T, (G,) N * positions, filters / G]."""
    lead = [_tasks(grads)] if stacked else [1]
    grads = tf.reshape(grads, [*lead, -1, geometry.filters])
    return _by_group(grads, 1, geometry.filters, geometry)


def _from_groups(product, shape, channels, geometry):
    """[T, (G,) rows, channels / G] as [*shape, channels]."""
    if geometry.groups > 1:
        product = tf.transpose(product, [0, 2, 1, 3])
    return tf.reshape(product, [*shape, channels])


@task_converter("Squeeze")
def _squeeze(pfor_input):
    """`tf.squeeze` without axes, as Keras' convolutions squeeze their biases.

    TensorFlow's own squeezes the task axis away with the others when there is one task.
    """
    tensor, stacked, _ = pfor_input.input(0)
    shape = pfor_input.op.inputs[0].shape
    if pfor_input.get_attr("squeeze_dims") or not stacked or not shape.is_fully_defined():
        return None
    axes = [axis + 1 for axis, size in enumerate(shape.as_list()) if size == 1]
    return tf.squeeze(tensor, axes) if axes else tensor
