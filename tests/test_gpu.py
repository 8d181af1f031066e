"""The same meta-step on a GPU and on the CPU; skipped where TensorFlow sees no GPU."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not tf.config.list_physical_devices("GPU"), reason="no GPU"),
]


def meta_gradient(device, jit_compile):
    with tf.device(device):
        keras.utils.set_random_seed(0)
        learner = tfmeta.MAML(tfmeta.networks.conv4(ways=5), inner_rate=0.4, inner_steps=2)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        learner.compile("sgd", loss, jit_compile=jit_compile)
        tasks = tfmeta.tasks.glyphs("train", ways=5, shots=1, queries=3).batch(4)
        gradients, _ = learner.meta_gradient(*next(iter(tasks)))
        return np.concatenate([np.ravel(gradient) for gradient in gradients])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_meta_gradient_is_that_of_the_cpu(jit_compile):
    expected = meta_gradient("/CPU:0", False)
    actual = meta_gradient("/GPU:0", jit_compile)
    # float32 rounding through two inner steps of a ReLU network.
    assert np.linalg.norm(actual - expected) < 1e-2 * np.linalg.norm(expected)
