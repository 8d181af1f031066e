"""An export answers the same wherever it is loaded: Python, TensorFlow 1, the C API."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from example_servables import classification_request, regression_request
from request_pipe import INVALID_ARGUMENT, OK

from tfmeta.saved_model.guards import broken_rule

PROGRAMS = ("serve_with_load", "serve_with_session", "serve_with_c_api")
STEP_COUNTS = (0, 1, 5, 50)
LOGITS = {"classification": "logits", "regression": "predictions"}
REQUESTS = {"classification": classification_request, "regression": regression_request}


def with_steps(request, steps, scale=1.0):
    return {
        **request,
        "inner_steps": np.array(steps, np.int32),
        "inner_rate_scale": np.array(scale, np.float32),
    }


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_float32_export_answers_bit_for_bit_as_its_function_in_process(exported, served, program):
    model = served("classification", program)
    request = classification_request()
    support = {name: request[name] for name in ("support_inputs", "support_targets")}
    requests = [
        ("adapt_and_predict", request),
        ("adapt_and_predict_tasks", {name: value[None] for name, value in request.items()}),
        ("adapt", support),
        ("predict", {"query_inputs": request["query_inputs"]}),
        *(("adapt_and_predict_with", with_steps(request, steps)) for steps in STEP_COUNTS),
    ]
    for signature, inputs in requests:
        expected = exported("classification")(signature, inputs)
        answer = model(signature, inputs)
        assert set(answer.outputs) == set(expected), answer.message
        for name, value in expected.items():
            np.testing.assert_array_equal(answer[name], value, err_msg=f"{signature} {name}")


@pytest.fixture(scope="module")
def expected_by_hand(exported):
    """`expected_by_hand(kind, steps)` -> outputs and support losses, computed once."""

    @functools.cache
    def get(kind, steps):
        return by_hand(exported(f"{kind}_float64").servable, REQUESTS[kind](), steps)

    return get


@pytest.mark.parametrize(
    ("program", "kind"),
    [
        ("serve_with_c_api", "classification"),
        ("serve_with_c_api", "regression"),
        # In float32 they answer bit for bit as the function in process does.
        pytest.param("serve_with_load", "classification", marks=pytest.mark.slow),
        pytest.param("serve_with_session", "classification", marks=pytest.mark.slow),
    ],
)
def test_a_float64_export_equals_plain_gradient_descent_for_every_step_count(
    expected_by_hand, served, program, kind
):
    request = REQUESTS[kind]()
    for steps in STEP_COUNTS:
        answer = served(f"{kind}_float64", program)(
            "adapt_and_predict_with", with_steps(request, steps)
        )
        expected, losses = expected_by_hand(kind, steps)
        largest = np.abs(expected).max()
        assert np.abs(answer[LOGITS[kind]] - expected).max() <= 2e-6 * largest, steps
        np.testing.assert_allclose(answer["support_loss"], losses, rtol=2e-6, atol=1e-9)


def by_hand(servable, request, steps):
    """The servable's own functions, eagerly: outputs and support losses."""

    def inside(array):
        return tf.cast(array, "float64") if array.dtype == np.float32 else tf.constant(array)

    state = [tf.convert_to_tensor(variable) for variable in servable.state]
    weights, losses = servable.adapt(
        [tf.convert_to_tensor(variable) for variable in servable.parameters],
        inside(request["support_inputs"]),
        inside(request["support_targets"]),
        steps,
        tf.constant(1, tf.float64),
        state,
    )
    outputs = servable.outputs(weights, state, inside(request["query_inputs"]), None)
    return outputs.numpy(), losses.numpy()


@pytest.mark.parametrize("program", PROGRAMS)
def test_sizes_of_support_and_query_set_are_free(exported, served, program):
    for support, query in ((1, 1), (2, 9), (40, 30), (7, 0)):
        request = classification_request(support, query)
        answer = served("classification", program)("adapt_and_predict", request)
        expected = exported("classification")("adapt_and_predict", request)
        np.testing.assert_array_equal(answer["logits"], expected["logits"])


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_server_needs_nothing_of_tfmeta(served, program):
    model = served("classification", program)
    assert model("serving_default", classification_request()).code == OK
    assert "tfmeta" not in model.imported()


def test_the_c_api_process_never_imports_tensorflow(served):
    model = served("classification", "serve_with_c_api")
    assert "tensorflow" not in model.imported()
    assert "numpy" in model.imported()


@pytest.mark.parametrize("program", ["serve_with_load", "serve_with_session"])
def test_a_wrong_shape_meets_the_same_guard_in_python(served, program):
    request = {**classification_request(), "query_inputs": np.zeros((4, 6, 6), np.float32)}
    answer = served("classification", program)("adapt_and_predict", request)
    assert answer.code == INVALID_ARGUMENT
    assert "query_inputs must have the shape [any, 6, 6, 1]" in answer.message


def test_the_words_of_a_guard_can_be_had_without_tensorflows(served):
    request = {**classification_request(), "query_inputs": np.zeros((4, 6, 6), np.float32)}
    for program in ("serve_with_c_api", "serve_with_load"):
        answer = served("classification", program)("adapt_and_predict", request)
        assert broken_rule(answer.message) == (
            "query_inputs must have the shape [any, 6, 6, 1]. Received: 4 6 6. "
            "Send one tensor of that shape."
        )
    assert broken_rule("something else") == "something else"


class Compiled(tf.Module):
    """A signature that needs XLA."""

    @tf.function(
        jit_compile=True, input_signature=[tf.TensorSpec([None], tf.float32, name="numbers")]
    )
    def double(self, numbers):
        return {"doubled": 2 * numbers}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    path = tmp_path_factory.mktemp("compiled")
    module = Compiled()
    tf.saved_model.save(module, str(path), signatures={"double": module.double})
    return path


def test_control_a_compiled_signature_fails_where_xla_is_disabled(compiled, start_process):
    request = {"numbers": np.ones(2, np.float32)}
    disabled = start_process(compiled, "serve_with_c_api")("double", request)
    assert disabled.code != OK
    assert "XLA compilation disabled" in disabled.message
    enabled = start_process(compiled, "serve_with_c_api", "with_xla")("double", request)
    np.testing.assert_array_equal(enabled["doubled"], [2, 2])
