"""Another set of models in a running server: by a file that is read again, and by a request.

`server_core` is TF Serving's `model_servers/server_core.cc`, `service` its
`model_servers/model_service_impl.cc`, `server_test` its
`model_servers/tensorflow_model_server_test.py` (tensorflow/serving at 9d981c5).
"""

import json
import shutil

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from serving_clients import Client, predict_request, rest, rest_predict, wait_until
from tensorflow_serving.apis import model_management_pb2

import tfmeta.serve
from tfmeta.serve.models_config import read_models_config

X = {"x": np.float32([2.0])}
QUICK = {"port": 0, "rest_api_port": 0, "file_system_poll_wait_seconds": 0.05}
Code = grpc.StatusCode


def text_of(models, more=""):
    """A ModelServerConfig of {name: base path}."""
    entries = "".join(
        f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" {more} }}\n'
        for name, path in models.items()
    )
    return f"model_config_list {{ {entries} }}"


@pytest.fixture(scope="module")
def folders(half_plus_two, half_plus_three, tmp_path_factory):
    """Base paths: `two` with versions 1 and 2, `three` with version 123."""
    folder = tmp_path_factory.mktemp("reload")
    for target, source in (("two/1", half_plus_two), ("two/2", half_plus_two)):
        shutil.copytree(source, folder / target)
    shutil.copytree(half_plus_three, folder / "three" / "123")
    return {"two": folder / "two", "three": folder / "three"}


@pytest.fixture
def server(folders, request):
    models = read_models_config(text_of({"two": folders["two"]}).encode())
    options = tfmeta.serve.ServerOptions(**QUICK, **getattr(request, "param", {}))
    with tfmeta.serve.Server(models, options) as running:
        yield running


@pytest.fixture
def client(server):
    with Client(server.grpc_address) as connected:
        yield connected


def reload(client, text):
    """Asks for another set of models."""
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(text, request.config)
    return client.model.HandleReloadConfigRequest(request, timeout=60)


def refused(client, text):
    """(code, words) of a reload that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        reload(client, text)
    return caught.value.code(), caught.value.details()


def code_of(client, name):
    try:
        client.predict(name, X)
    except grpc.RpcError as error:
        return error.code()
    return Code.OK


def test_a_request_replaces_the_set_of_models(server, client, folders):  # service:43
    response = reload(client, text_of({"three": folders["three"]}))
    assert (response.status.error_code, response.status.error_message) == (0, "")
    assert client.predict("three", X)[0]["y"] == 4.0
    status, answer = rest_predict(server, "two", {"instances": [1.0]})
    assert (status, answer) == (404, {"error": "Servable not found for request: Latest(two)"})
    wait_until(lambda: client.states("two") == {2: "END"})
    assert 'model_name="three",status="OK"' in rest(server, "GET", METRICS)[1]
    reload(client, text_of(folders))
    assert client.predict("two", X)[0]["y"] == 3.0
    assert client.predict("three", X)[0]["y"] == 4.0
    assert sorted(server.models.names) == ["three", "two"]


METRICS = "/monitoring/prometheus/metrics"


def test_policies_labels_and_base_paths_change_without_a_failed_request(server, client, folders):
    all_of_them = "model_version_policy { all {} }"
    reload(client, text_of({"two": folders["two"]}, all_of_them))
    assert client.states("two") == {1: "AVAILABLE", 2: "AVAILABLE"}
    labelled = f'{all_of_them} version_labels {{ key: "old" value: 1 }}'
    reload(client, text_of({"two": folders["two"]}, labelled))
    body = {"instances": [2.0]}
    assert rest_predict(server, "two", body, "/labels/old") == (200, {"predictions": [3.0]})
    # server_core:590: a label for what is not available changes nothing.
    code, words = refused(client, text_of({"two": folders["two"]}, labelled.replace("1", "7")))
    assert code == Code.FAILED_PRECONDITION
    assert words == (
        "Request to assign label to version 7 of model two, which is not currently available for "
        "inference"
    )
    assert rest_predict(server, "two", body, "/labels/old")[0] == 200
    calls = [
        client.prediction.Predict.future(predict_request("two", X), timeout=60) for _ in range(20)
    ]
    reload(client, text_of({"two": folders["three"]}))
    calls += [
        client.prediction.Predict.future(predict_request("two", X), timeout=60) for _ in range(20)
    ]
    assert {call.result().outputs["y"].float_val[0] for call in calls} == {3.0, 4.0}
    assert rest_predict(server, "two", body, "/labels/old")[0] == 400


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        # service:59
        ("", Code.INVALID_ARGUMENT, "ServerModelConfig type not supported by HandleReload"),
        # server_core:122
        (
            text_of({"a": "/a", "b": "/b"}).replace('"b"', '"a"'),
            Code.INVALID_ARGUMENT,
            "Illegal to list model a multiple times in config list",
        ),
        # server_core:143
        (
            text_of({"a": "relative"}),
            Code.INVALID_ARGUMENT,
            "Expected model a to have an absolute path or URI; got base_path()=relative",
        ),
        ('model_config_list { config { name: "a" } }', Code.INVALID_ARGUMENT, "Each model of a"),
    ],
    ids=["empty", "twice", "relative", "no path"],
)
def test_a_wrong_configuration_changes_nothing(client, text, code, words):
    got, details = refused(client, text)
    assert got == code
    assert details.startswith(words)
    assert code_of(client, "two") == Code.OK


def test_a_model_that_does_not_load_is_reported_and_stays_wanted(
    client, folders, tmp_path, half_plus_three
):  # server_core:318
    missing = tmp_path / "later"
    code, words = refused(client, text_of({**folders, "later": missing}))
    assert code == Code.UNKNOWN
    assert words.startswith("1 model(s) did not become available: {{name: later due to error: ")
    assert "Could not find base path" in words
    assert code_of(client, "three") == Code.OK, "the others are served"
    shutil.copytree(half_plus_three, tmp_path / ".3")
    missing.mkdir()
    (tmp_path / ".3").rename(missing / "3")
    wait_until(lambda: code_of(client, "later") == Code.OK)
    # A base path that cannot be served leaves a model where it is.
    broken = {**folders, "three": tmp_path / "nowhere", "later": missing}
    assert refused(client, text_of(broken))[0] == Code.UNKNOWN
    assert client.predict("three", X)[0]["y"] == 4.0


@pytest.mark.parametrize(
    "server", [{"allow_version_labels_for_unavailable_models": True}], indirect=True
)
def test_labels_may_wait_for_their_version_where_that_is_allowed(client, folders):
    labels = 'version_labels {{ key: "next" value: {} }}'
    reload(client, text_of({"two": folders["two"]}, labels.format(9)))
    # server_core:577: an existing label may not move to what is not there.
    code, _ = refused(client, text_of({"two": folders["two"]}, labels.format(8)))
    assert code == Code.FAILED_PRECONDITION
    reload(client, text_of({"two": folders["two"]}, labels.format(2)))


def test_a_reload_beyond_loopback_needs_a_key(folders):
    models = read_models_config(text_of({"two": folders["two"]}).encode())
    options = tfmeta.serve.ServerOptions(**QUICK, address="0.0.0.0", allow_insecure_address=True)
    with (
        tfmeta.serve.Server(models, options) as server,
        Client(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        code, words = refused(client, text_of({"three": folders["three"]}))
        assert code == Code.PERMISSION_DENIED
        assert "needs an API key" in words
        assert code_of(client, "two") == Code.OK


def test_the_file_is_read_again(folders, tmp_path, log_lines):  # server_test:321, 368
    file = tmp_path / "models.config"
    file.write_text(text_of({"two": folders["two"]}))
    options = tfmeta.serve.ServerOptions(**QUICK, model_config_file_poll_wait_seconds=0.05)
    models = read_models_config(file.read_bytes())
    with (
        tfmeta.serve.Server(models, options, config_file=file) as server,
        Client(server.grpc_address) as client,
    ):
        assert code_of(client, "two") == Code.OK
        file.write_text("nonsense {")
        wait_until(lambda: "reload_failed" in log_lines())
        file.unlink()
        wait_until(lambda: log_lines().count("reload_failed") == 2)
        assert code_of(client, "two") == Code.OK, "a file that is gone changes nothing"
        file.write_text(text_of({"three": folders["three"]}))
        wait_until(lambda: code_of(client, "three") == Code.OK)
        wait_until(lambda: code_of(client, "two") == Code.NOT_FOUND)
        assert json.loads(log_lines().splitlines()[0])["event"] == "version"


def test_without_a_pause_the_file_is_read_once(folders, tmp_path):  # server_test:410
    file = tmp_path / "models.config"
    file.write_text(text_of({"two": folders["two"]}))
    models = read_models_config(file.read_bytes())
    server = tfmeta.serve.Server(models, tfmeta.serve.ServerOptions(**QUICK), config_file=file)
    assert server._config_watch is None
    server.stop()
