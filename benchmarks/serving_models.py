"""The exports that the serving benchmarks ask: untrained, as speed does not depend on weights."""

import keras

import tfmeta

INNER_STEPS, INNER_RATE = 5, 0.4


def export_omniglot(folder) -> dict:
    """Omniglot's network, 5 ways, 5 inner steps; gives its weights by "layer/weight"."""
    keras.utils.set_random_seed(0)
    network = tfmeta.networks.conv4(ways=5, image_shape=(28, 28, 1), scale=False)
    learner = tfmeta.MAML(network, INNER_RATE, INNER_STEPS)
    learner.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    learner.export(folder)
    return {"/".join(v.path.split("/")[-2:]): v.numpy() for v in network.trainable_variables}


def export_sinusoid(folder) -> None:
    """The sinusoid's network, 5 inner steps."""
    keras.utils.set_random_seed(0)
    learner = tfmeta.MAML(tfmeta.networks.mlp(), inner_rate=0.001, inner_steps=INNER_STEPS)
    learner.compile("adam", "mse")
    learner.export(folder)
