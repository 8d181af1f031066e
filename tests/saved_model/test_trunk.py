"""A SavedModel of a learner with a trunk: one function for all signatures, the same answers."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import tfmeta
from tfmeta.tasks.task import Examples

SHAPE, SUPPORT, QUERIES = (6, 6, 2), 6, 4


def learner_of(normalization, *, frozen):
    keras.utils.set_random_seed(1)
    inputs = keras.Input(SHAPE)
    x = keras.layers.Conv2D(3, 3, activation="tanh", name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    backbone = keras.Model(inputs, keras.layers.Flatten()(x), name="backbone")
    backbone(np.random.default_rng(2).normal(1.0, 2.0, (8, *SHAPE)), training=True)
    backbone.trainable = not frozen
    inputs = keras.Input(SHAPE)
    network = keras.Model(inputs, keras.layers.Dense(3, name="head")(backbone(inputs)))
    learner = tfmeta.MAML(network, 0.3, 2, adapted="head/*", normalization=normalization)
    learner.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert learner.trunk_layers == ["backbone"]
    return learner


def request(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "support_inputs": rng.normal(size=(SUPPORT, *SHAPE)).astype("float32"),
        "support_targets": (np.arange(SUPPORT) % 3).astype("int32"),
        "query_inputs": rng.normal(size=(QUERIES, *SHAPE)).astype("float32"),
    }


def whole_network(learner, given, steps):
    """Logits of the queries, and support losses, by a network that knows of no trunk."""
    weights, state = (
        [tf.convert_to_tensor(v) for v in group]
        for group in (learner.parameter_variables, learner.state_variables)
    )
    support = Examples(*(tf.constant(given[n]) for n in ("support_inputs", "support_targets")))
    network, head = learner.task_network, learner.task_network.chosen
    losses = []
    for _ in range(steps):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            losses.append(network.set_loss(weights, state, support))
        gradients = tape.gradient(losses[-1], head(weights))
        moved = [w - 0.3 * g for w, g in zip(head(weights), gradients, strict=True)]
        weights = network.filled(weights, moved)
    losses.append(network.set_loss(weights, state, support))
    return learner.query_outputs(weights, state, given["query_inputs"], support), losses


@pytest.mark.parametrize(
    ("normalization", "frozen", "trunks", "maps"),
    [
        ("inductive", True, 1, 0),
        pytest.param("transductive", False, 1, 0, marks=pytest.mark.slow),
        # The function that answers queries maps it over them, each with the support set.
        pytest.param("inductive", False, 1, 1, marks=pytest.mark.slow),
        # Also in training mode, for averages that no signature reads.
        pytest.param("running", False, 2, 0, marks=pytest.mark.slow),
    ],
)
def test_all_signatures_call_one_trunk_and_answer_as_the_whole_network(
    tmp_path, normalization, frozen, trunks, maps
):
    learner = learner_of(normalization, frozen=frozen)
    path = pathlib.Path(learner.export(tmp_path, warmup_sizes=[(SUPPORT, QUERIES)]))
    signatures = tf.saved_model.load(str(path)).signatures
    given = {name: tf.constant(value) for name, value in request().items()}
    logits, losses = whole_network(learner, given, 2)
    together = signatures["adapt_and_predict"](**given)
    np.testing.assert_allclose(together["logits"], logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(together["support_loss"], losses, rtol=1e-4)
    for steps in (0, 5):
        found = signatures["adapt_and_predict_with"](
            **given, inner_steps=tf.constant(steps), inner_rate_scale=tf.constant(1.0)
        )
        expected, _ = whole_network(learner, given, steps)
        np.testing.assert_allclose(found["logits"], expected, rtol=1e-4, atol=1e-5)
    support = {name: given[name] for name in ("support_inputs", "support_targets")}
    adapted = signatures["adapt"](**support)
    queries = {"query_inputs": given["query_inputs"]}
    if normalization == "inductive":
        queries["support_inputs"] = given["support_inputs"]
    del adapted["support_loss"]
    apart = signatures["predict_adapted"](**adapted, **queries)
    np.testing.assert_allclose(apart["logits"], logits, rtol=1e-4, atol=1e-5)

    file = (path / "saved_model.pb").read_bytes()
    library = saved_model_pb2.SavedModel.FromString(file).meta_graphs[0].graph_def.library
    with_convolution = [
        function.signature.name
        for function in library.function
        if any(node.op == "Conv2D" for node in function.node_def)
    ]
    of_trunk = [name for name in with_convolution if "trunk" in name]
    assert (len(of_trunk), len(with_convolution)) == (trunks, trunks + maps)
    # Fixed inner steps, and as many as a request says; one query set for all signatures.
    called = [function.signature.name for function in library.function]
    assert sum("adapt_weights" in name for name in called) == 2
    assert sum("answer_queries" in name for name in called) == 1
    # Seven records of 10 examples of 72 numbers are 20 kB as they are.
    assert (path / "assets.extra/tf_serving_warmup_requests").stat().st_size < 5000
