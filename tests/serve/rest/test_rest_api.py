"""Golden transcripts of the REST API over HTTP.

Each cites where TF Serving's behaviour is written down (tensorflow/serving at 9d981c5):
`handler_test` is `model_servers/http_rest_api_handler_test.cc`, `util` is
`model_servers/http_rest_api_util.cc`, `guide` is `g3doc/api_rest.md`.
"""

import http.client
import json

import numpy as np
import pytest
from example_servables import classification_request
from serving_clients import Client, rest, rest_predict

from tfmeta.serve.configuration import METRICS_PATH

HALF = "half_plus_two"
AVAILABLE = {
    "model_version_status": [
        {
            "version": "123",
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
    ]
}


@pytest.mark.parametrize(
    ("source", "where", "body", "answer"),
    [
        (
            "handler_test:335",
            "",
            {"instances": [[1.0, 2.0], [3.0, 4.0]]},
            {"predictions": [[2.5, 3.0], [3.5, 4.0]]},
        ),
        ("handler_test:345", "/versions/123", {"instances": [1, 2]}, {"predictions": [2.5, 3.0]}),
        ("handler_test:355", "/labels/canary", {"instances": [1, 2]}, {"predictions": [2.5, 3.0]}),
        (
            "handler_test:365",
            "/versions/123",
            {"signature_name": "serving_default", "instances": [3.0, 4.0]},
            {"predictions": [3.5, 4.0]},
        ),
        (
            "handler_test:376",
            "/versions/123",
            {"signature_name": "serving_default", "inputs": [3.0, 4.0]},
            {"outputs": [3.5, 4.0]},
        ),
    ],
)
def test_a_prediction_is_that_of_tf_serving(served, source, where, body, answer):
    assert rest_predict(served, HALF, body, where) == (200, answer)


def test_the_answer_of_the_guide_is_the_same_text(served):  # guide:469
    _, text = rest(served, "POST", f"/v1/models/{HALF}:predict", '{"instances": [1.0,2.0,5.0]}')
    assert text == '{\n    "predictions": [2.5, 3.0, 4.5]\n}'


def test_paths_take_any_case(served):  # util:31, "(?i)"
    status, answer = rest(served, "POST", f"/V1/Models/{HALF}:predict", '{"instances": [2.0]}')
    assert (status, json.loads(answer)) == (200, {"predictions": [3.0]})


def test_methods_are_compared_exactly(served):  # http_rest_api_handler.cc:82, 99
    for method in ("PREDICT", "Classify", "regresS"):
        path = f"/v1/models/{HALF}:{method}"
        status, answer = rest(served, "POST", path, '{"instances": [2.0]}')
        assert (status, json.loads(answer)) == (400, {"error": f"Malformed request: POST {path}"})
    status, answer = rest(served, "GET", f"/v1/models/{HALF}/METADATA")
    assert (status, json.loads(answer)) == (200, AVAILABLE)


def test_bytes_that_are_not_utf8_go_there_and_back(served):
    body = b'{"signature_name": "echo", "instances": ["\xff\xfe", "\xc3\xa9"]}'
    connection = http.client.HTTPConnection("127.0.0.1", served.rest_port, timeout=60)
    connection.request("POST", f"/v1/models/{HALF}:predict", body)
    answer = connection.getresponse().read()
    connection.close()
    assert b'"text": "\xff\xfe"' in answer
    assert b'"text_bytes": {"b64": "//4="}' in b" ".join(answer.split())
    assert b'"text": "\xc3\xa9"' in answer


@pytest.mark.parametrize("where", ["", "/versions/123", "/labels/canary"])
def test_the_status_is_that_of_tf_serving(served, where):  # handler_test:453, 472, 493
    status, answer = rest(served, "GET", f"/v1/models/{HALF}{where}")
    assert (status, json.loads(answer)) == (200, AVAILABLE)


def test_the_metadata_has_its_shape(served):  # handler_test:515, guide:42
    status, answer = rest(served, "GET", f"/v1/models/{HALF}/metadata")
    answer = json.loads(answer)
    assert status == 200
    assert answer["model_spec"] == {"name": HALF, "signature_name": "", "version": "123"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "both", "echo"} <= set(signatures)
    assert signatures["both"]["inputs"]["b"]["dtype"] == "DT_INT64"
    assert signatures["both"]["inputs"]["b"]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}],
        "unknown_rank": False,
    }
    assert signatures["both"]["method_name"] == "tensorflow/serving/predict"


MALFORMED = [
    ("handler_test:183", "GET", "/v1/foo"),
    ("handler_test:188", "POST", "/v1/foo"),
    ("handler_test:197", "GET", "/v1/models/debug/model_name"),
    ("handler_test:202", "POST", "/v1/models"),
    ("handler_test:207", "GET", "/v1/models/foo:predict"),
    ("handler_test:212", "GET", "/v1/models/foo/version/50:predict"),
    ("handler_test:217", "POST", "/v1/models/foo/version/50:regress"),
    ("handler_test:223", "POST", "/v1/models/foo/versions/HELLO:regress"),
    ("handler_test:236", "POST", "/v1/models/foo/metadata"),
    ("handler_test:242", "POST", "/v1/models/foo/label/some_label:regress"),
    ("handler_test:248", "POST", "/v1/models/foo/versions/50/labels/some_label:regress"),
    ("http_rest_api_handler.cc:70", "PUT", "/v1/models/foo:predict"),
    ("http_rest_api_handler.cc:70", "DELETE", "/v1/models/foo"),
    ("http_rest_api_handler.cc:70", "TRACE", "/v1/models/foo"),
    ("http_rest_api_handler.cc:70", "GET", "/v1/models/foo%0a/x"),
]


@pytest.mark.parametrize(("source", "method", "path"), MALFORMED)
def test_a_malformed_path_is_named(served, source, method, path):
    status, answer = rest(served, method, path)
    assert status == 400
    assert json.loads(answer) == {"error": f"Malformed request: {method} {path}"}


@pytest.mark.parametrize(
    ("source", "method", "path", "body", "status", "message"),
    [
        ("handler_test:193", "GET", "/v1/models", None, 400, "Missing model name in request."),
        (
            "handler_test:228",
            "POST",
            f"/v1/models/foo/versions/{2**64 - 1}:regress",
            "",
            400,
            f"Failed to convert version: {2**64 - 1} to numeric.",
        ),
        (
            "handler_test:228",
            "GET",
            f"/v1/models/foo/versions/{'0' * 25}{'9' * 25}",
            None,
            400,
            f"Failed to convert version: {'9' * 25} to numeric.",
        ),
        (
            "get_model_status_impl.cc:89",
            "GET",
            f"/v1/models/{HALF}/versions/{'0' * 5000}7",
            None,
            404,
            f"Could not find version 7 of model {HALF}",
        ),
        (
            "guide:491",
            "POST",
            "/v1/models/half:predict",
            '{"instances": [1.0,5.0]}',
            404,
            "Servable not found for request: Latest(half)",
        ),
        (
            "handler_test:271, core/manager.h:152",
            "POST",
            "/v1/models/foo/versions/50:predict",
            '{"instances": [1]}',
            404,
            "Servable not found for request: Specific(foo, 50)",
        ),
        (
            "handler_test:311",
            "POST",
            f"/v1/models/{HALF}/labels/nobody:predict",
            '{"instances": [1]}',
            400,
            "Unrecognized servable version label: nobody",
        ),
        (
            "get_model_status_impl.cc:99",
            "GET",
            "/v1/models/foo",
            None,
            404,
            "Could not find any versions of model foo",
        ),
        (
            "get_model_status_impl.cc:89",
            "GET",
            f"/v1/models/{HALF}/versions/7",
            None,
            404,
            f"Could not find version 7 of model {HALF}",
        ),
        (
            "http_rest_api_handler.cc:259",
            "POST",
            f"/v1/models/{HALF}:predict",
            '{"signature_name": "nothing", "inputs": 1}',
            400,
            'Serving signature name: "nothing" not found in signature def',
        ),
        (
            "handler_test:291",
            "POST",
            f"/v1/models/{HALF}:predict",
            "",
            400,
            "JSON Parse error: The document is empty",
        ),
        (
            "handler_test:304",
            "POST",
            f"/v1/models/{HALF}:predict",
            '{"instances": ["x", "y"]}',
            400,
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON "
            'Value: "x" Type: String is not of expected type: float',
        ),
    ],
)
def test_an_error_has_tf_servings_status_and_words(
    served, source, method, path, body, status, message
):
    got, answer = rest(served, method, path, body)
    assert (got, json.loads(answer)) == (status, {"error": message})


def test_outside_of_v1_there_is_nothing(served):  # http_server.cc:141, handler_test:173
    for path in ("/", "/statuspage", "/index", "/v2/models/x", f"{METRICS_PATH}/"):
        assert rest(served, "GET", path) == (404, "")


def test_a_target_may_name_the_server(served):  # RFC 9112, 3.2.2
    for path in (f"/v1/models/{HALF}", METRICS_PATH):
        assert rest(served, "GET", f"http://any.example:1{path}")[0] == 200


def test_what_the_embedded_server_lacks_is_unimplemented(served):  # http_server.cc:74
    status, answer = rest(served, "POST", f"/v1/models/{HALF}:classify", '{"examples": []}')
    assert status == 501
    assert "predict only" in json.loads(answer)["error"]


def test_strings_go_there_and_back(served):  # guide, "Encoding binary values"
    body = {"signature_name": "echo", "inputs": [{"b64": "AP8="}, "plain"]}
    status, answer = rest_predict(served, HALF, body)
    assert status == 200
    assert answer["outputs"]["text_bytes"] == [{"b64": "AP8="}, {"b64": "cGxhaW4="}]
    assert answer["outputs"]["text"][1] == "plain"


def test_a_models_own_guard_answers_in_its_words(served):
    request = {name: value.tolist() for name, value in classification_request().items()}
    request["support_targets"][0] = 9
    status, answer = rest_predict(served, "classifier", {"inputs": request})
    assert status == 400
    assert "support_targets must be labels in [0, 3)" in answer["error"]
    assert "/" not in answer["error"], "a path of this machine"


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e39"])
def test_numbers_that_are_not_finite_meet_the_guard(served, token):
    request = {name: value.tolist() for name, value in classification_request().items()}
    text = json.dumps({"inputs": request}).replace(str(request["query_inputs"][0][0][0][0]), token)
    status, answer = rest_predict(served, "classifier", text)
    assert status == 400
    assert "query_inputs must be finite numbers" in answer["error"]


def test_rest_and_grpc_answer_the_same_bits(served):
    request = classification_request()
    body = {"inputs": {name: value.tolist() for name, value in request.items()}}
    status, answer = rest_predict(served, "classifier", body)
    assert status == 200
    with Client(served.grpc_address) as client:
        outputs, _ = client.predict("classifier", request)
    assert set(outputs) == set(answer["outputs"])
    for name, value in outputs.items():
        np.testing.assert_array_equal(np.float32(answer["outputs"][name]), value)
