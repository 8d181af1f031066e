"""Weights of every learner after 20 meta-steps on fixed seeds, to compare two commits bit by bit.

    python -m benchmarks.learner_bits --output=before.npz     # with one commit installed
    python -m benchmarks.learner_bits --against=before.npz    # with the other

Two commits agree only on one machine with one TensorFlow: bits depend on both.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import tfmeta

_OUTPUT = flags.DEFINE_string("output", None, "File (.npz) to write.")
_AGAINST = flags.DEFINE_string("against", None, "File of another commit to compare with.")
_STEPS = flags.DEFINE_integer("steps", 20, "Meta-steps.")
_NAMES = flags.DEFINE_list("names", [], "Cases to run; none: all.")

CROSS_ENTROPY = "cross_entropy"


def classifier(ways=3, dropout=0.0):
    """A small network with convolution, batch normalisation and a dense head."""
    layers = [
        keras.Input((6, 6, 1)),
        keras.layers.Conv2D(4, 3, strides=2, padding="same", name="conv_1"),
        keras.layers.BatchNormalization(name="norm_1"),
        keras.layers.ReLU(name="relu_1"),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(ways, name="head"),
    ]
    if dropout:
        layers.insert(4, keras.layers.Dropout(dropout, name="dropout"))
    return keras.Sequential(layers, name="classifier")


def regressor():
    """A small dense network."""
    return tfmeta.networks.mlp(hidden=(8, 8))


def warped():
    """The same for MT-nets."""
    return tfmeta.networks.t_net(tfmeta.networks.mlp(hidden=(8,)))


# Case -> (network, learner). Regressors see sinusoids, classifiers random images.
CASES = {
    "maml": (classifier, lambda n: tfmeta.MAML(n, 0.1, 2)),
    "maml_first_order_adam": (
        classifier,
        lambda n: tfmeta.MAML(n, 0.01, 2, first_order=True, inner_optimizer="adam"),
    ),
    "maml_running": (classifier, lambda n: tfmeta.MAML(n, 0.1, 2, normalization="running")),
    "maml_inductive_head": (
        classifier,
        lambda n: tfmeta.MAML(n, 0.1, 2, normalization="inductive", adapted="head/*"),
    ),
    "maml_rematerialized": (classifier, lambda n: tfmeta.MAML(n, 0.1, 2, rematerialize=True)),
    "maml_dropout": (
        lambda: classifier(dropout=0.3),
        lambda n: tfmeta.MAML(n, 0.1, 2, dropout=True, meta_gradient_clip=0.1),
    ),
    "maml_sinusoid": (regressor, lambda n: tfmeta.MAML(n, {"*kernel": 0.01, "*": 0.02}, 3)),
    "meta_sgd": (classifier, lambda n: tfmeta.MetaSGD(n, 2)),
    "reptile": (
        classifier,
        lambda n: tfmeta.Reptile(n, 0.01, 4, batch_size=2, test_batch_size=3),
    ),
    "reptile_carried": (
        classifier,
        lambda n: tfmeta.Reptile(n, 0.01, 3, carry_moments=True, normalization="running"),
    ),
    "gradient_combination": (
        classifier,
        lambda n: tfmeta.GradientCombination(n, 0.01, (0, 1, 1), batch_size=2),
    ),
    "imaml": (classifier, lambda n: tfmeta.IMAML(n, 0.1, 3, cg_steps=3)),
    "imaml_head": (classifier, lambda n: tfmeta.IMAML(n, 0.1, 3, adapted="head/*")),
    "maml_plus_plus": (
        classifier,
        lambda n: tfmeta.MAMLPlusPlus(
            n, 0.1, 3, multi_step_loss_steps=12, first_order_steps=6, inner_loss=None
        ),
    ),
    "maml_plus_plus_statistics": (
        classifier,
        lambda n: tfmeta.MAMLPlusPlus(
            n, 0.1, 3, multi_step_loss_steps=5, per_step_statistics=True, normalization="running"
        ),
    ),
    "mt_net": (warped, lambda n: tfmeta.MTNet(n, 0.05, 2, adapted="!*_warp/*")),
    "bfa": (classifier, lambda n: tfmeta.BFA(n, 0.1, 2, particles=3)),
    "bmaml": (regressor, lambda n: tfmeta.BMAML(n, 0.05, 2, particles=3)),
    "platipus": (classifier, lambda n: tfmeta.PLATIPUS(n, 0.1, 2, samples=3)),
    "platipus_sinusoid": (regressor, lambda n: tfmeta.PLATIPUS(n, 0.01, 2, first_order=True)),
    "llama": (regressor, lambda n: tfmeta.LLAMA(n, 0.01, 2, samples=3)),
    "llama_full": (
        regressor,
        lambda n: tfmeta.LLAMA(n, 0.01, 1, samples=3, curvature="full", determinant_weight=0.5),
    ),
    "prototypical": (classifier, lambda n: tfmeta.PrototypicalNetwork(n)),
    "matching": (classifier, lambda n: tfmeta.MatchingNetwork(n, normalization="transductive")),
    "nearest_neighbor": (classifier, lambda n: tfmeta.NearestNeighbor(n, 3)),
    "fine_tuning": (classifier, lambda n: tfmeta.FineTuning(n, 3, 0.1, 3)),
}


def batches(classify, steps):
    """`steps` batches of 4 tasks."""
    if not classify:
        stream = tfmeta.tasks.sinusoid("train", shots=5, seed=0, count=4 * steps).batch(4)
        yield from stream
        return
    rng = np.random.default_rng(0)
    for _ in range(steps):
        support_x, query_x = (rng.normal(size=(4, 6, 6, 6, 1)).astype("float32") for _ in "sq")
        support_y, query_y = (np.tile(np.arange(6, dtype="int32") % 3, (4, 1)) for _ in "sq")
        yield (
            tf.nest.map_structure(tf.constant, (support_x, support_y, query_x)),
            tf.constant(query_y),
        )


def values_of(name, steps) -> dict[str, np.ndarray]:
    """Parameters and state after `steps` meta-steps, their names, and answers at test."""
    make_network, make_learner = CASES[name]
    keras.utils.set_random_seed(0)
    learner = make_learner(make_network())
    classify = make_network not in (regressor, warped)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if classify else "mse"
    learner.compile(keras.optimizers.Adam(1e-2), loss)
    for x, y in batches(classify, steps):
        learner.train_on_batch(x, y)
    (support_x, support_y, query_x), _ = next(iter(batches(classify, 1)))
    kept = {"answers": learner.predict_on_batch((support_x, support_y, query_x))}
    for kind, variables in (
        ("parameter", learner.parameter_variables),
        ("state", learner.state_variables),
    ):
        for index, variable in enumerate(variables):
            kept[f"{kind}/{index:02d}"] = np.asarray(variable)
    kept["parameter_paths"] = np.array(learner.parameter_paths)
    kept["state_paths"] = np.array([variable.path for variable in learner.state_variables])
    kept["configuration"] = np.array(sorted(learner.get_config()))
    return {f"{name}/{key}": value for key, value in kept.items()}


def main(_):
    keras.utils.set_random_seed(0)
    found = {}
    for name in _NAMES.value or CASES:
        keras.backend.clear_session()
        found |= values_of(name, _STEPS.value)
        print(f"{name}: done", file=sys.stderr)
    if _OUTPUT.value:
        np.savez_compressed(_OUTPUT.value, **found)
    if not _AGAINST.value:
        return
    before = np.load(_AGAINST.value)
    names = {key for key in before.files if key.split("/")[0] in (_NAMES.value or CASES)}
    for name in _NAMES.value or CASES:
        keys = sorted(key for key in names | found.keys() if key.split("/")[0] == name)
        print(f"{name}: {_difference(before, found, keys)}")


def _difference(before, after, keys):
    largest = 0.0
    for key in keys:
        if key not in before.files or key not in after:
            return f"{key} is in one of the two only"
        old, new = before[key], after[key]
        if old.shape != new.shape:
            return f"{key} has the shapes {old.shape} and {new.shape}"
        if old.dtype.kind in "US":
            if (old != new).any():
                return f"{key}: {sorted(set(old) ^ set(new))}"
        else:
            largest = max(
                largest, float(np.abs(old.astype("f8") - new.astype("f8")).max(initial=0))
            )
    return "equal" if largest == 0 else f"differs by {largest:.3g}"


if __name__ == "__main__":
    app.run(main)
