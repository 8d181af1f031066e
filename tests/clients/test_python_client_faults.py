"""The Python client against servers that are slow, broken or in between: errors of its own."""

import contextlib
import math
import shutil
import ssl
import subprocess
import time

import numpy as np
import pytest
from faulty_server import GOOD, lose, no_gzip, redirect, refuse, stall, trickle_body, trickle_head
from tfmeta_client import Client, DeadlineExceeded, InvalidRequest, ServingError, Unavailable
from tfmeta_client.errors import error_of_code
from tfmeta_client.messages import Tensor
from tfmeta_client.signature import Signature, TensorSpec
from tfmeta_client.tensors import from_message

ONE = {"x": np.float32([1.0])}
NOBODY = ["127.0.0.1:9", "http://127.0.0.1:9"]


@contextlib.contextmanager
def within(seconds):
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds


def test_a_calls_timeout_holds_for_the_first_one_too(faulty):
    url, _ = faulty(GOOD, pause=4)
    with Client(url, "m") as client, within(3), pytest.raises(DeadlineExceeded):
        client.ask("s", ONE, timeout=0.5)


@pytest.mark.parametrize("target", NOBODY)
def test_a_calls_timeout_holds_where_nobody_answers(target):
    gone = pytest.raises((DeadlineExceeded, Unavailable))
    with Client(target, "m") as client, within(4), gone:
        client.ask("s", ONE, timeout=0.5)


@pytest.mark.parametrize("fault", [trickle_body, trickle_head, stall])
def test_a_timeout_is_that_of_the_whole_answer(faulty, fault):
    url, _ = faulty(fault)
    with Client(url, "m", timeout=1) as client, within(4), pytest.raises(DeadlineExceeded):
        client.ask("s", ONE)


def test_a_lost_answer_is_asked_for_again(faulty):
    url, _ = faulty(lose, lose, GOOD)
    with Client(url, "m") as client:
        assert client.ask("s", ONE)["y"].tolist() == [1.0]


@pytest.mark.parametrize(
    "answer",
    [
        b"null",
        b"[1]",
        b"{}",
        b'{"outputs": "hello"}',
        b'{"outputs": {"y": [[1], [1, 2]], "z": [1]}}',
        b'{"outputs": {"y": [[1]], "z": [1]}}',
        b'{"outputs": {"y": ["a"], "z": [1]}}',
        b'{"outputs": {"q": [1]}}',
        b'{"outputs": {"y": [1]}}',
        b"[" * 100_000,
        redirect,
        no_gzip,
        refuse(500, ["no text"]),
    ],
)
def test_a_broken_answer_is_the_servers_error_and_is_not_asked_for_again(faulty, answer):
    url, seen = faulty(answer)
    with Client(url, "m", timeout=5) as client, pytest.raises(ServingError) as caught:
        client.ask("s", ONE)
    assert caught.value.code == "UNKNOWN"
    assert [method for method, _ in seen].count("POST") == 1


def test_numbers_that_are_not_finite_go_both_ways(faulty):
    url, seen = faulty(b'{"outputs": {"y": [NaN], "z": [-Infinity]}}')
    with Client(url, "m") as client:
        answer = client.ask("s", {"x": np.float32([math.nan, math.inf])})
    assert b"[NaN, Infinity]" in seen[-1][1]
    np.testing.assert_array_equal(answer["y"], np.float32([math.nan]))
    assert answer["z"].tolist() == [-math.inf]


@pytest.mark.parametrize(
    "fault",
    [
        refuse(413, "A request must be at most 9 bytes."),
        refuse(429, "A request must be at most 9 bytes."),
    ],
    ids=["413", "429"],
)
def test_what_is_too_large_is_not_sent_again(faulty, fault):
    url, seen = faulty(fault)
    with Client(url, "m") as client, pytest.raises(InvalidRequest, match="at most 9 bytes"):
        client.ask("s", ONE)
    assert [method for method, _ in seen].count("POST") == 1


def test_what_grpc_calls_too_large_is_not_sent_again():
    words = "SERVER: Received message larger than max (33554500 vs. 33554432)"
    assert isinstance(error_of_code("RESOURCE_EXHAUSTED", words), InvalidRequest)


@pytest.mark.parametrize("target", NOBODY)
@pytest.mark.parametrize("key", ["ключ", "a\nb", " a", "a\r"])
def test_a_key_that_cannot_be_sent_is_refused(target, key):
    with pytest.raises(ValueError, match="one line of printable ASCII"):
        Client(target, "m", api_key=key)


@pytest.mark.parametrize(("key", "sent"), [("K", "Bearer K"), (None, None)])
def test_netrc_does_not_replace_the_key(faulty, tmp_path, monkeypatch, key, sent):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    url, seen = faulty(GOOD)
    with Client(url, "m", api_key=key) as client:
        client.signatures()
    assert seen[0][1]["Authorization"] == sent


def test_the_environment_does_not_replace_the_certificates(faulty, tmp_path, monkeypatch):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", key, "-out", certificate, "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    url, _ = faulty(GOOD, context=context)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "nothing.pem"))
    with Client(url, "m", root_certificates=str(certificate), timeout=10) as client:
        assert client.ask("s", ONE)["z"].tolist() == [2.0]


class Moving:
    """A transport whose model has moved to another version since it was adapted."""

    def __init__(self):
        self.timeouts, self.fingerprints = [], iter((1, 2))
        spec = TensorSpec(np.dtype("float32"), None)
        signature = Signature({"support_inputs": spec, "support_targets": spec}, {})
        other = {"adapted_weights": spec, "weights_fingerprint": spec, "query_inputs": spec}
        self.known = {"adapt": signature, "predict_adapted": Signature(other, {})}

    def signatures(self, timeout):
        self.timeouts.append(timeout)
        return self.known

    def predict(self, name, signature, inputs, timeout):
        self.timeouts.append(timeout)
        time.sleep(0.05)  # a part of the time is over
        if name == "adapt":
            return {
                "adapted_weights": [1.0],
                "weights_fingerprint": float(next(self.fingerprints)),
                "support_loss": [0.0],
            }
        if inputs["weights_fingerprint"] == 1:
            raise InvalidRequest("INVALID_ARGUMENT", "weights_fingerprint is another version's")
        return {"predictions": [3.0]}


def test_adapting_again_has_what_is_left_of_the_time():
    client = Client("127.0.0.1:9", "m", timeout=100)
    client.close()
    client._transport = moving = Moving()
    adapted = client.adapt([1.0], [2.0])
    moving.timeouts.clear()
    assert adapted.predict([1.0], timeout=10) == {"predictions": [3.0]}
    first, second, third = moving.timeouts
    assert first <= 10
    assert second <= first - 0.05
    assert third <= second - 0.05


def test_a_message_of_strings_is_read():
    message = Tensor(dtype=7, string_val=[b"a", b"b"])
    message.tensor_shape.dim.add(size=2)
    assert from_message(message).tolist() == [b"a", b"b"]


@pytest.mark.parametrize(
    ("dtype", "size"), [(1, 2**45), (99, 1)], ids=["larger than any answer", "no type"]
)
def test_a_message_that_is_no_tensor_is_the_servers_error(dtype, size):
    message = Tensor(dtype=dtype, float_val=[1.0])
    message.tensor_shape.dim.add(size=size)
    with pytest.raises(ValueError, match="a tensor of"):
        from_message(message)
