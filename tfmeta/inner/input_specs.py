"""What a network takes: the structure, shapes and dtypes of its inputs."""

import keras
import tensorflow as tf


def input_specs(network, examples=2):
    """The structure of `tf.TensorSpec` that a network takes, with a given number of examples.

    Args:
        network: a built `keras.Model`.
        examples: size of the first axis.

    Returns:
        A spec, or a list, tuple or dict of them; None where the network does not say.
    """
    structure = getattr(network, "_inputs_struct", None)
    if structure is None:
        structure = getattr(network, "inputs", None)
    if isinstance(structure, (list, tuple)) and len(structure) == 1:
        structure = structure[0]
    if structure is not None:
        return keras.tree.map_structure(lambda t: _spec(t.shape, t.dtype, examples), structure)
    shapes = list((getattr(network, "_build_shapes_dict", None) or {}).values())
    if len(shapes) != 1 or not _is_shape(shapes[0]):
        return None
    return _spec(shapes[0], network.compute_dtype, examples)


def specs_like(inputs):
    """The structure of `tf.TensorSpec` of tensors [N, ...]."""
    return keras.tree.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), inputs)


def _is_shape(value):
    return isinstance(value, (tuple, list)) and all(
        size is None or isinstance(size, int) for size in value
    )


def _spec(shape, dtype, examples):
    return tf.TensorSpec((examples, *tuple(shape)[1:]), dtype)
