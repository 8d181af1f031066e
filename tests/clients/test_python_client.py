"""The Python client: the learner's own answers through either protocol, and errors in words."""

import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import requests
from tfmeta_client import (
    Client,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    Overloaded,
    ServingError,
    Unavailable,
)
from tfmeta_client.messages import Tensor
from tfmeta_client.tensors import DTYPES, from_message, to_message

CLIENT = Path(__file__).parents[2] / "export" / "clients" / "python"
# The server's graph and the learner's in one process differ by the order of float32 sums.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.mark.parametrize("name", ["sinusoid", "letters"])
def test_adaptation_is_the_learners(target, learners, task, name):
    support_x, support_y, query_x = task(name)
    with Client(target, name) as client:
        answer = client.adapt_and_predict(support_x, support_y, query_x)
    tasks = [value[np.newaxis] for value in (support_x, support_y, query_x)]
    expected = learners[name].predict(tuple(tasks), verbose=0)[0]
    outputs = answer.get("logits", answer["predictions"])
    np.testing.assert_allclose(outputs, expected, **CLOSE)
    assert answer["support_loss"].shape == (3,)
    assert {value.dtype for value in answer.values()} == {np.dtype("float32")}


@pytest.mark.parametrize("name", ["sinusoid", "letters"])
def test_adapting_once_and_predicting_twice_gives_what_one_request_gives(target, task, name):
    support_x, support_y, query_x = task(name)
    with Client(target, name) as client:
        whole = client.adapt_and_predict(support_x, support_y, query_x)
        adapted = client.adapt(support_x, support_y)
        for _ in range(2):
            found = adapted.predict(query_x)["predictions"]
            np.testing.assert_allclose(found, whole["predictions"], **CLOSE)
    np.testing.assert_allclose(adapted.support_loss, whole["support_loss"], **CLOSE)


def test_steps_and_rate_can_be_chosen(target, task):
    request = task("sinusoid")
    with Client(target, "sinusoid") as client:
        trained = client.adapt_and_predict(*request)
        same = client.adapt_and_predict(*request, inner_steps=2)
        none = client.adapt_and_predict(*request, inner_steps=0)
        slow = client.adapt_and_predict(*request, inner_rate_scale=0.0)
        before = client.predict(request[2])
    np.testing.assert_allclose(same["predictions"], trained["predictions"], **CLOSE)
    np.testing.assert_allclose(none["predictions"], before["predictions"], **CLOSE)
    np.testing.assert_allclose(slow["predictions"], before["predictions"], **CLOSE)
    assert none["support_loss"].shape == (1,)
    assert not np.allclose(trained["predictions"], before["predictions"])


def test_many_tasks_in_one_request_have_a_status_each(target, task):
    tasks = [task("letters", seed=seed) for seed in range(3)]
    support_x, support_y, query_x = (np.stack(values) for values in zip(*tasks, strict=True))
    support_y[1, 0] = 7
    with Client(target, "letters") as client:
        answer = client.adapt_and_predict_tasks(support_x, support_y, query_x)
        alone = client.adapt_and_predict(*tasks[2])
    assert answer["status"].tolist() == [0, 3, 0]
    np.testing.assert_allclose(answer["predictions"][2], alone["predictions"], **CLOSE)
    assert not answer["predictions"][1].any()


def test_numbers_of_another_dtype_are_sent_as_the_signature_wants_them(target, task):
    support_x, support_y, query_x = task("letters")
    with Client(target, "letters") as client:
        plain = client.adapt_and_predict(support_x, support_y, query_x)
        lists = client.adapt_and_predict(
            support_x.astype("float64"), support_y.tolist(), query_x.tolist()
        )
        np.testing.assert_array_equal(plain["predictions"], lists["predictions"])
        with pytest.raises(InvalidRequest, match=r"support_targets must be int32\. .*float64"):
            client.adapt_and_predict(support_x, support_y + 0.5, query_x)
        with pytest.raises(InvalidRequest, match="support_targets must be int32"):
            client.adapt_and_predict(support_x, support_y.astype("int64") + 2**40, query_x)


def test_an_empty_query_set_gives_empty_predictions(server, task):
    support_x, support_y, query_x = task("letters")
    with Client(server.grpc_address, "letters") as client:
        answer = client.adapt_and_predict(support_x, support_y, query_x[:0])
    assert answer["predictions"].shape == (0, 3)


def test_a_broken_rule_comes_back_in_the_guards_words(target, task):
    support_x, support_y, query_x = task("letters")
    with Client(target, "letters") as client:
        with pytest.raises(InvalidRequest, match=r"labels in \[0, 3\)") as error:
            client.adapt_and_predict(support_x, support_y + 5, query_x)
        assert error.value.code == "INVALID_ARGUMENT"
        with pytest.raises(InvalidRequest, match="The signature takes query_inputs, support_inp"):
            client.ask("adapt_and_predict", {"query_inputs": query_x})
        with pytest.raises(InvalidRequest, match="no signature 'adopt'; it has adapt, adapt_and_p"):
            client.ask("adopt", {})
        assert "predictions" in client.adapt_and_predict(support_x, support_y, query_x)


def test_an_unknown_model_is_not_found(target):
    with Client(target, "nobody") as client, pytest.raises(NotFound, match="nobody"):
        client.predict([[1.0]])


def test_a_version_can_be_asked_for(target, task):
    request = task("sinusoid")
    with Client(target, "sinusoid", version=1) as client:
        assert client.adapt_and_predict(*request)["predictions"].shape == (4, 1)
    with Client(target, "sinusoid", version=9) as client, pytest.raises(NotFound):
        client.adapt_and_predict(*request)
    with pytest.raises(ValueError, match="by number or by label"):
        Client(target, "sinusoid", version=1, label="stable")


@pytest.mark.parametrize("target", ["127.0.0.1:9", "http://127.0.0.1:9"])
def test_where_nobody_answers_it_is_tried_until_the_timeout(target):
    nobody = pytest.raises((Unavailable, DeadlineExceeded))
    with Client(target, "sinusoid", timeout=0.5) as client, nobody:
        client.predict([[1.0]])


class Scripted(BaseHTTPRequestHandler):
    """Answers by a script of (status, body), of which the last stays."""

    script = ()
    seen = 0

    def do_GET(self):
        cls = type(self)
        status, body = cls.script[min(cls.seen, len(cls.script) - 1)]
        cls.seen += 1
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Stays off the terminal."""


@pytest.fixture
def scripted():
    """`scripted(*script)` -> (url, handler class) of a server that answers by the script."""
    servers = []

    def get(*script):
        handler = type("Handler", (Scripted,), {"script": script, "seen": 0})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_address[1]}", handler

    yield get
    for running in servers:
        running.shutdown()
        running.server_close()


METADATA = b'{"metadata": {"signature_def": {"signature_def": {}}}}'


def test_a_full_server_is_asked_again(scripted):
    url, handler = scripted(
        (429, b'{"error": "full"}'), (503, b'{"error": "gone"}'), (200, METADATA)
    )
    with Client(url, "sinusoid") as client:
        assert client.signatures() == {}
    assert handler.seen == 3


def test_a_server_that_stays_full_is_overloaded_in_the_end(scripted):
    url, handler = scripted((429, b'{"error": "full"}'))
    with Client(url, "sinusoid", timeout=0.5) as client, pytest.raises(Overloaded, match="full"):
        client.signatures()
    assert handler.seen > 1


def test_an_answer_that_is_not_json_is_an_error_of_the_server(scripted):
    url, _ = scripted((200, b"<html>a proxy's page</html>"))
    with Client(url, "sinusoid") as client, pytest.raises(ServingError, match="a proxy's page"):
        client.signatures()
    url, handler = scripted((502, b"<html>bad gateway</html>"))
    with Client(url, "sinusoid") as client, pytest.raises(ServingError, match="bad gateway"):
        client.signatures()
    assert handler.seen == 1


@pytest.mark.parametrize("dtype", sorted({str(dtype) for dtype, _ in DTYPES.values()}))
def test_a_tensor_message_goes_there_and_back(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    found = from_message(Tensor.FromString(to_message(array).SerializeToString()))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_the_messages_are_tensorflows():
    import tensorflow as tf

    array = np.array([[1.5, -2.0]], "float32")
    theirs = tf.make_tensor_proto(array).SerializeToString()
    np.testing.assert_array_equal(from_message(Tensor.FromString(theirs)), array)
    # Lists of values, where the last one stands for the rest.
    listed = tf.compat.v1.make_tensor_proto([7.0], shape=[2, 2])
    np.testing.assert_array_equal(
        from_message(Tensor.FromString(listed.SerializeToString())), np.full((2, 2), 7, "float32")
    )
    parsed = tf.make_ndarray(type(listed).FromString(to_message(array).SerializeToString()))
    np.testing.assert_array_equal(parsed, array)


def test_neither_tensorflow_nor_tfmeta_is_loaded(server):
    script = (
        "import sys; from tfmeta_client import Client\n"
        "for target in sys.argv[1:]:\n"
        "    with Client(target, 'sinusoid') as client:\n"
        "        print(client.adapt_and_predict([[1.0]], [[2.0]], [[3.0]])['predictions'].shape)\n"
        "assert not {'tensorflow', 'tfmeta', 'keras'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, server.grpc_address, server.rest_url],
        capture_output=True,
        text=True,
        cwd=CLIENT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["(1, 1)", "(1, 1)"]


def test_a_new_version_is_adapted_to_again(export_dirs, make_learner, task, tmp_path):
    from tfmeta import serve

    support_x, support_y, query_x = task("sinusoid")
    shutil.copytree(export_dirs["sinusoid"], tmp_path / "sinusoid")
    options = {"file_system_poll_wait_seconds": 0.1}
    with (
        serve.start(tmp_path / "sinusoid", "sinusoid", **options) as running,
        Client(running.grpc_address, "sinusoid") as client,
    ):
        adapted = client.adapt(support_x, support_y)
        first = adapted.predict(query_x)["predictions"]
        make_learner("sinusoid", seed=5).export(tmp_path / "sinusoid", warmup_sizes=[])
        wait_for_version(running.rest_url, 2)
        second = adapted.predict(query_x)["predictions"]
        whole = client.adapt_and_predict(support_x, support_y, query_x)["predictions"]
    assert not np.allclose(first, second)
    np.testing.assert_allclose(second, whole, **CLOSE)


def wait_for_version(url, version):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        states = requests.get(f"{url}/v1/models/sinusoid", timeout=10).json()
        found = {s["version"]: s["state"] for s in states["model_version_status"]}
        if [number for number, state in found.items() if state == "AVAILABLE"] == [str(version)]:
            return
        time.sleep(0.05)
    raise AssertionError(f"version {version} did not come: {found}")
