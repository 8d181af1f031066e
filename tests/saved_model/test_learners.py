"""Exports of real learners answer, through TensorFlow's C API, as the learners do in process."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from request_pipe import OK

import tfmeta
from tests.conformance import registry
from tests.marks import marked
from tfmeta.learners.batch.task_keys import answer_keys
from tfmeta.saved_model import read_description
from tfmeta.tasks.task import Examples

STEP_COUNTS = (0, 1, 5, 20)
IMAGE_SHAPE = (8, 8, 1)
WAYS = 3
QUICK = {
    ("warped_mt_net", "regression"),
    ("maml", "classification"),
    ("prototypical_network", "classification"),
}
# What an inner loop of its own, rates, a head or a context brings to an export.
REGRESSION_SHOWS = ("maml_plus_plus", "imaml", "reptile", "cavia")
SLOW = {
    *((name, "regression") for name in REGRESSION_SHOWS),
    *((name, "classification") for name in ("r2d2", "fine_tuning")),
}
# The first two answer from the support set itself, which the signatures have no place for.
LEFT_OUT = ("matching_network", "nearest_neighbor", "mt_net")
NAMES = [*registry.some(samples=False, variant=False), "warped_mt_net"]
PAIRS = [
    (name, kind)
    for name in NAMES
    if name not in LEFT_OUT
    for kind in registry.LEARNERS[name].kinds
    # The network's batch normalization takes away what a context adds to all examples alike.
    if (name, kind) != ("cavia", "classification")
]


def options_of(name, rate):
    """Settings that a small network and many steps ask for."""
    if name == "reptile":
        return {"inner_rate": rate / 8, "carry_moments": True}
    if name == "gradient_combination":
        return {"inner_rate": rate / 8, "inner_optimizer": "sgd"}
    learns_rates = name == "meta_sgd" or not registry.LEARNERS[name].gradient_steps
    return {} if learns_rates else {"inner_rate": rate}


def learner_of(name, kind, dtype):
    """A compiled learner whose weights, rates and state are not what they were initialised to."""
    keras.utils.set_random_seed(7)
    if kind == "regression":
        network = tfmeta.networks.mlp(hidden=(8,), dtype=dtype)
        loss, rate = keras.losses.MeanSquaredError(), 0.0625
    else:
        network = tfmeta.networks.nonconv(WAYS, IMAGE_SHAPE, hidden=(6,), dtype=dtype)
        if name == "maml":
            network = tfmeta.networks.conv4(WAYS, IMAGE_SHAPE, filters=3, dtype=dtype)
        loss, rate = keras.losses.SparseCategoricalCrossentropy(from_logits=True), 0.25
    learner = registry.LEARNERS[name](network, **options_of(name, rate))
    learner.compile(optimizer=keras.optimizers.SGD(0.1), loss=loss)
    generator = np.random.default_rng(11)
    for variable in (*learner.parameter_variables, *learner.state_variables):
        if keras.backend.is_float_dtype(variable.dtype):
            value = variable.numpy()
            variable.assign(value + 0.05 * np.abs(generator.standard_normal(value.shape)))
    return learner


def request_of(kind):
    generator = np.random.default_rng(5)
    if kind == "regression":
        support = generator.uniform(-2, 2, (6, 1)).astype(np.float32)
        query = generator.uniform(-2, 2, (4, 1)).astype(np.float32)
        return {
            "support_inputs": support,
            "support_targets": np.sin(support),
            "query_inputs": query,
        }
    return {
        "support_inputs": generator.random((6, *IMAGE_SHAPE), np.float32),
        "support_targets": np.array([2, 0, 1, 1, 0, 2], np.int32),
        "query_inputs": generator.random((4, *IMAGE_SHAPE), np.float32),
    }


def answered_curve(learner, request, steps):
    """Query outputs [n + 1, Q, ...] and support losses [n + 1] by the key that answers have."""
    support_x, support_y, query_x = (
        tf.cast(value, "float64") if value.dtype == np.float32 else tf.constant(value)
        for value in request.values()
    )
    support = Examples(support_x, support_y)
    parameters, state = (
        [tf.convert_to_tensor(variable) for variable in variables]
        for variables in (learner.parameter_variables, learner.state_variables)
    )
    found = learner.adapt_weights(
        parameters,
        support,
        steps,
        state,
        answer_keys(learner.seed, 1)[0],
        observe=lambda weights: learner.query_outputs(weights, state, query_x, support),
    )
    return found.records.numpy(), found.support_losses.numpy()


@pytest.mark.parametrize(("name", "kind"), marked(PAIRS, QUICK, SLOW))
def test_an_export_adapts_as_its_learner_does_for_every_step_count(
    name, kind, tmp_path, start_process
):
    learner = learner_of(name, kind, "float64")
    path = learner.export(tmp_path, warmup_sizes=[])
    assert read_description(path)["learner"] == registry.LEARNERS[name].cls.__name__
    assert read_description(path)["kind"] == kind
    request = request_of(kind)
    outputs, losses = answered_curve(learner, request, max(STEP_COUNTS))
    model = start_process(path)
    moved = []
    for steps in STEP_COUNTS:
        counts = {"inner_steps": np.array(steps, np.int32), "inner_rate_scale": np.float32(1)}
        answer = model("adapt_and_predict_with", {**request, **counts})
        logits = answer["logits" if kind == "classification" else "predictions"]
        assert np.abs(logits - outputs[steps]).max() <= 2e-6 * np.abs(outputs[steps]).max(), steps
        # All but the last: where minibatches are drawn, only the last is of the whole set.
        np.testing.assert_allclose(answer["support_loss"][:-1], losses[:steps], rtol=2e-6)
        moved.append(np.abs(logits - outputs[0]).max())
    assert min(moved[1:]) > 1e-4
    _check_own_steps(learner, model, request, outputs)


def _check_own_steps(learner, model, request, outputs):
    """The signatures that take the learner's own number of steps."""
    own = outputs[learner.test_inner_steps]
    both = model("adapt_and_predict", request)
    logits = both["logits"] if "logits" in both.outputs else both["predictions"]
    assert np.abs(logits - own).max() <= 2e-6 * np.abs(own).max()
    query = {"query_inputs": request["query_inputs"]}
    support = {key: value for key, value in request.items() if key not in query}
    adapted = model("adapt", support).outputs
    del adapted["support_loss"]
    later = model("predict_adapted", {**adapted, **query})
    # float32 in between rounds the weights, 6e-8 of each.
    np.testing.assert_allclose(later["predictions"], both["predictions"], rtol=1e-5, atol=1e-6)
    tasks = model("adapt_and_predict_tasks", {key: value[None] for key, value in request.items()})
    np.testing.assert_allclose(tasks["predictions"][0], both["predictions"], rtol=2e-6, atol=1e-9)
    # Fewer than Reptile's minibatch of 4.
    few = {key: value if key == "query_inputs" else value[:3] for key, value in request.items()}
    assert model("adapt_and_predict", few).code == OK
    initial = model("predict", query)
    assert initial.code == OK
    assert np.abs(initial["predictions"] - both["predictions"]).max() > 1e-5


def test_an_inductive_export_of_a_transductive_learner_answers_each_query_alone(
    tmp_path, start_process
):
    learner = learner_of("reptile", "classification", "float32")
    model = start_process(learner.export(tmp_path, normalization="inductive", warmup_sizes=[]))
    request = request_of("classification")
    together = model("adapt_and_predict", request)["logits"]
    alone = model("adapt_and_predict", {**request, "query_inputs": request["query_inputs"][2:3]})
    np.testing.assert_allclose(alone["logits"][0], together[2], rtol=1e-4, atol=1e-5)
    empty = model("adapt_and_predict", {**request, "query_inputs": request["query_inputs"][:0]})
    assert empty["logits"].shape == (0, WAYS)
