"""Versions come and go under a base path, and no request notices."""

import concurrent.futures
import contextlib
import gc
import os
import shutil
import threading
import time
import weakref

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving_clients import Client, predict_request, rest, rest_predict, wait_until
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tfmeta.serve import Server, ServerOptions, ServingError
from tfmeta.serve.configuration import ModelConfig
from tfmeta.serve.models import version_directories
from tfmeta.serve.models_config import read_models_config

X = {"x": np.float32([1.0])}


def value(client, **options):
    """(the answer to 1.0, version)."""
    outputs, version = client.predict("model", X, **options)
    return float(outputs["y"][0]), version


@pytest.fixture
def client(start, base_path, half_plus_two):
    server = start(base_path(half_plus_two), "model")
    with Client(server.grpc_address) as connected:
        connected.server = server
        yield connected


def write_warmup(version, requests):
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())


def test_a_new_version_is_switched_to_without_a_failed_request(
    client, base_path, half_plus_two, half_plus_three
):
    stop, answers = threading.Event(), []

    def ask():
        while not stop.is_set():
            answers.append(value(client))

    def ask_rest():
        while not stop.is_set():
            status, answer = rest_predict(client.server, "model", {"instances": [1.0]})
            assert status == 200, answer
            answers.append((answer["predictions"][0], None))

    with concurrent.futures.ThreadPoolExecutor() as pool:
        asking = [pool.submit(each) for each in (ask, ask, ask_rest)]
        try:
            for version in (2, 3):
                base_path(half_plus_three if version == 2 else half_plus_two, version)
                wait_until(
                    lambda version=version: client.states("model").get(version) == "AVAILABLE"
                )
                wait_until(lambda version=version: client.states("model")[version - 1] == "END")
        finally:
            stop.set()
        for each in asking:
            each.result()
    assert {version for _, version in answers} == {None, 1, 2, 3}
    expected = {1: 2.5, 2: 3.5, 3: 2.5}
    assert all(got == expected[version] for got, version in answers if version)
    assert value(client)[1] == 3


def test_a_request_in_progress_keeps_its_version(client, base_path, half_plus_three):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        long = pool.submit(client.predict, "model", {"rounds": np.int64(200_000)}, "count")
        wait_until(lambda: client.server.models._admission.running)
        base_path(half_plus_three, 2)
        wait_until(lambda: client.states("model").get(2) == "AVAILABLE")
        assert value(client) == (3.5, 2)
        _, version = long.result()
    assert version == 1
    wait_until(lambda: client.states("model") == {2: "AVAILABLE", 1: "END"})


def test_the_newest_version_is_listed_first(client, base_path, half_plus_three):
    base_path(half_plus_three, 12)
    wait_until(lambda: client.states("model").get(1) == "END")
    assert list(client.states("model")) == [12, 1]  # core/servable_state_monitor.h:69


@pytest.mark.parametrize(
    "spoil",
    [
        lambda version: os.truncate(version / "saved_model.pb", 1000),
        lambda version: (version / "saved_model.pb").unlink(),
        lambda version: (version / "saved_model.pb").write_bytes(os.urandom(5000)),
        lambda version: shutil.rmtree(version / "variables"),
        lambda version: os.truncate(next(version.glob("variables/*.data-*")), 1),
        lambda version: write_warmup(version, [predict_request("", {"z": X["x"]})]),
        lambda version: write_warmup(version, [predict_pb2.PredictRequest()] * 1001),
    ],
    ids=[
        "cut",
        "no graph",
        "noise",
        "no variables",
        "half the variables",
        "warmup",
        "many warmups",
    ],
)
def test_a_version_that_fails_is_reported_and_the_old_one_stays(
    client, tmp_path, half_plus_three, spoil
):
    shutil.copytree(half_plus_three, tmp_path / "spoilt")
    spoil(tmp_path / "spoilt")
    (tmp_path / "spoilt").rename(tmp_path / "model" / "2")
    wait_until(lambda: client.states("model").get(2) == "END")
    _, answer = rest(client.server, "GET", "/v1/models/model/versions/2")
    assert '"error_code": "OK"' not in answer
    assert '"error_message": ""' not in answer
    assert client.states("model")[1] == "AVAILABLE"
    assert value(client) == (2.5, 1)


def test_a_version_copied_slowly_loads_once_it_is_whole(client, tmp_path, half_plus_three):
    target = tmp_path / "model" / "2"
    target.mkdir()
    whole = (half_plus_three / "saved_model.pb").read_bytes()
    (target / "saved_model.pb").write_bytes(whole[: len(whole) // 2])
    wait_until(lambda: client.states("model").get(2) == "END")
    shutil.copytree(half_plus_three / "variables", target / "variables")
    (target / "saved_model.pb").write_bytes(whole)
    wait_until(lambda: client.states("model").get(2) == "AVAILABLE")
    assert value(client) == (3.5, 2)


def test_warmup_records_run_before_a_version_is_available(client, tmp_path, half_plus_three):
    shutil.copytree(half_plus_three, tmp_path / "warm")
    slow = predict_request("ignored", {"rounds": np.int64(20_000)}, "count")
    write_warmup(tmp_path / "warm", [predict_request("", X), slow])
    (tmp_path / "warm").rename(tmp_path / "model" / "2")
    wait_until(lambda: client.states("model").get(2) == "AVAILABLE")
    _, page = rest(client.server, "GET", "/monitoring/prometheus/metrics")
    count = ':tensorflow:serving:model_warmup_latency_count{model_path="model",status="OK"} 2.0'
    assert count in page.splitlines()


def test_a_removed_version_gives_way_to_the_one_before(
    client, base_path, tmp_path, half_plus_three
):
    base_path(half_plus_three, 2)
    wait_until(lambda: client.states("model").get(1) == "END")
    shutil.rmtree(tmp_path / "model" / "2")
    wait_until(lambda: client.states("model") == {2: "END", 1: "AVAILABLE"})
    assert value(client) == (2.5, 1)


def test_without_a_version_the_model_is_not_found_until_one_comes_back(
    client, base_path, tmp_path, half_plus_two
):
    shutil.rmtree(tmp_path / "model" / "1")
    wait_until(lambda: client.states("model") == {1: "END"})
    with pytest.raises(grpc.RpcError) as caught:
        value(client)
    assert caught.value.details() == "Servable not found for request: Latest(model)"
    base_path(half_plus_two)
    wait_until(lambda: client.states("model") == {1: "AVAILABLE"})
    assert value(client) == (2.5, 1)


def test_without_its_base_path_a_model_stays(client, tmp_path, log_lines):
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    wait_until(lambda: "Could not find base path" in log_lines())
    assert value(client) == (2.5, 1)
    (tmp_path / "elsewhere").rename(tmp_path / "model")


def test_children_that_are_no_integers_are_ignored(client, tmp_path, base_path, half_plus_three):
    for name in ("2.tmp", ".tfmeta-exporting-7", "latest", "x3", "9" * 30):
        shutil.copytree(half_plus_three, tmp_path / "model" / name)
    base_path(half_plus_three, "00005")
    wait_until(lambda: client.states("model").get(5) == "AVAILABLE")
    assert set(client.states("model")) == {1, 5}


def test_an_unloaded_version_leaves_memory(client, base_path, half_plus_three):
    (version,) = client.server.models._set._models["model"].available()
    served = weakref.ref(version.served)
    session = version.served._session
    del version
    base_path(half_plus_three, 2)
    wait_until(lambda: client.states("model") == {2: "AVAILABLE", 1: "END"})
    assert (session._session, session._graph) == (None, None), "the runtime's part is freed"
    assert served() is None, "no cycle waits for the collector"


@pytest.mark.usefixtures("real_collector")
def test_a_swap_leaves_nothing_to_the_garbage_collector(client, base_path, half_plus_three):
    assert gc.get_freeze_count() > 100_000  # TensorFlow's objects
    longest = []
    with collections_timed(longest):
        base_path(half_plus_three, 2)
        wait_until(lambda: client.states("model") == {2: "AVAILABLE", 1: "END"})
    assert max(longest, default=0) < 0.05
    assert gc.get_freeze_count() > 100_000
    client.server.stop()
    assert gc.get_freeze_count() == 0


@contextlib.contextmanager
def collections_timed(found):
    """Appends the processor seconds of each garbage collection of this `with`."""
    begun = []

    def note(phase, _):
        if phase == "start":
            begun.append(time.thread_time())
        else:
            found.append(time.thread_time() - begun.pop())

    gc.callbacks.append(note)
    try:
        yield
    finally:
        gc.callbacks.remove(note)


def test_a_start_without_a_model_says_why(start, tmp_path, base_path, half_plus_two):
    with pytest.raises(ServingError, match="Could not find base path"):
        start(tmp_path / "nowhere", "model")
    folder = base_path(half_plus_two)
    (folder / "1" / "saved_model.pb").unlink()
    with pytest.raises(ServingError, match="SavedModel"):
        start(folder, "model")


def test_a_start_on_an_empty_base_path_waits_for_a_version(
    start, tmp_path, base_path, half_plus_two
):
    (tmp_path / "model").mkdir()
    with Client(start(tmp_path / "model", "model").grpc_address) as client:
        base_path(half_plus_two)
        wait_until(lambda: "AVAILABLE" in states_or_none(client))


def test_without_a_pause_between_looks_there_is_one_look(start, base_path, half_plus_two):
    server = start(base_path(half_plus_two), "model", file_system_poll_wait_seconds=0)
    assert "versions" not in {thread.name for thread in own_threads(server)}
    with Client(server.grpc_address) as client:  # main.cc:173
        assert value(client) == (2.5, 1)
    assert server.stop()


def own_threads(server):
    return [
        model._watcher for model in server.models._set._models.values() if model._watcher.is_alive()
    ]


def test_a_label_of_a_version_that_is_not_loaded_is_refused(base_path, half_plus_two):
    model = ModelConfig("model", str(base_path(half_plus_two)), {"stable": 1, "canary": 9})
    with pytest.raises(ServingError) as caught:
        Server([model], ServerOptions(port=0, rest_api_port=0)).start()
    assert caught.value.code == grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.message == (  # server_core.cc:580
        "Request to assign label to version 9 of model model, which is not currently available "
        "for inference"
    )


def test_a_label_names_its_version_and_not_the_newest(base_path, half_plus_two, half_plus_three):
    path = base_path(half_plus_two)
    shutil.copytree(half_plus_three, path / "2")
    labels = {"stable": 1, "canary": 2}
    model = ModelConfig("model", str(path), labels, latest=0)
    server = Server([model], ServerOptions(port=0, rest_api_port=0))
    with server, Client(server.grpc_address) as client:
        for label, expected in (("stable", (2.5, 1)), ("canary", (3.5, 2))):
            request = predict_request("model", X)
            request.model_spec.version_label = label
            answer = client.prediction.Predict(request)
            outputs = tf.make_ndarray(answer.outputs["y"])
            assert (float(outputs[0]), answer.model_spec.version.value) == expected
            found = rest_predict(server, "model", {"instances": [1.0]}, f"/labels/{label}")
            assert found == (200, {"predictions": [expected[0]]})
        assert value(client) == (3.5, 2)


def states_or_none(client):
    try:
        return client.states("model").values()
    except grpc.RpcError:
        return ()


CONFIG = b"""model_config_list {
  config { name: "a" base_path: "/models/a" model_platform: "tensorflow" }
  config { name: "b" base_path: "/models/b" model_type: TENSORFLOW
           model_version_policy { latest { num_versions: 2 } } }
  config { name: "c" base_path: "/models/c" model_platform: "tensorflow"
           model_version_policy { all {} } }
  config { name: "d" base_path: "/models/d" model_platform: "tensorflow"
           model_version_policy { specific { versions: 4 } }
           version_labels { key: "stable" value: 4 } }
}"""


def test_a_models_config_is_read_as_tf_serving_reads_it():
    assert read_models_config(b"\xef\xbb\xbf" + CONFIG) == read_models_config(CONFIG)
    assert read_models_config(CONFIG) == [
        ModelConfig("a", "/models/a"),
        ModelConfig("b", "/models/b", latest=2),
        ModelConfig("c", "/models/c", latest=0),
        ModelConfig("d", "/models/d", {"stable": 4}, specific=(4,)),
    ]


def test_several_models_of_a_config_are_served(base_path, tmp_path, half_plus_two, half_plus_three):
    first, second = base_path(half_plus_two, 1, "first"), base_path(half_plus_three, 7, "second")
    text = f"""model_config_list {{
      config {{ name: "first" base_path: "{first}" model_platform: "tensorflow" }}
      config {{ name: "second" base_path: "{second}" model_platform: "tensorflow"
                version_labels {{ key: "stable" value: 7 }} }}
    }}"""
    options = ServerOptions(port=0, rest_api_port=0)
    with Server(read_models_config(text.encode()), options) as server:
        status, answer = rest_predict(server, "first", {"instances": [1.0]})
        assert (status, answer) == (200, {"predictions": [2.5]})
        assert rest_predict(server, "second", {"instances": [1.0]}, "/labels/stable")[1] == {
            "predictions": [3.5]
        }


def test_a_wanted_version_that_is_not_there_is_said_in_the_log(log_lines):
    config = ModelConfig("wanting", "/models/wanting", specific=(2, 7, 9))
    for _ in range(3):
        assert version_directories.aspired({1: "1", 7: "7"}, config) == [7]
    lines = [line for line in log_lines().splitlines() if "version_missing" in line]
    assert len(lines) == 2, "each once"
    assert '"version": 2' in lines[0]
    assert "Version 9 is wanted by the version policy" in lines[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"nonsense {", "must be a ModelServerConfig"),
        (b"", "must name a model"),
        (b"\xff\xfem", "in UTF-8. Received: an error at 'utf-8' codec can't decode byte 0xff"),
        (b'model_config_list { config { name: "a" } }', "needs a name and a base_path"),
        # server_core.cc:100, 663
        (b'model_config_list { config { name: "a" base_path: "/a" } }', "needs model_platform"),
        (
            b'model_config_list { config { name: "a" base_path: "/a" model_platform: "onnx" } }',
            "Received: 'onnx' for 'a'",
        ),
        (
            b'model_config_list { config { name: "a" base_path: "/a" model_platform: "tensorflow"'
            b" model_version_policy { specific {} } } }",
            "'specific' needs versions",
        ),
    ],
)
def test_a_wrong_models_config_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read_models_config(text)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [({"latest": 2}, [2, 3]), ({"latest": 0}, [1, 2, 3]), ({"specific": (1, 9)}, [1])],
)
def test_a_policy_chooses_versions(policy, expected):
    from tfmeta.serve.models.version_directories import aspired

    found = {number: f"models/{number}" for number in (1, 2, 3)}
    assert aspired(found, ModelConfig("model", "models", **policy)) == expected
