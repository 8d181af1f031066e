"""What a stranger cannot do."""

import functools
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
from example_servables import classification_request
from grpc_health.v1 import health_pb2
from serving_clients import Client, predict_request, rest, rest_predict

from tfmeta.serve import ModelConfig, Server, ServerOptions
from tfmeta.serve.api_key import key_agrees

ROOT = pathlib.Path(__file__).parents[2]
X = {"x": np.float32([1.0])}
KEY = "correct horse battery"
BEARER = {"Authorization": f"Bearer {KEY}"}
# 127.0.0.1 as the kernel writes it, also on a socket of both IP versions.
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F")
ESCAPES = [
    "..",
    "../../etc/passwd",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%2f1",
    "..%5c..%5cboot.ini",
    "model%00",
    "%ff%fe",
    "%2fetc",
    "~root",
    "$HOME",
]
WATCHED = (
    "open",
    "import",
    "exec",
    "compile",
    "pickle.find_class",
    "os.listdir",
    "os.scandir",
    "os.system",
    "subprocess.Popen",
    "marshal.loads",
    "ctypes.dlopen",
)


def code_of(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code()


class Audit:
    """What the interpreter reports that it does, between `start` and `stop`."""

    def __init__(self):
        self.seen, self.on = [], False
        sys.addaudithook(self._hear)

    def _hear(self, event, arguments):
        watching = threading.current_thread().name == "versions"  # of any server here
        if self.on and event in WATCHED and not watching:
            self.seen.append((event, arguments[:1]))


def test_only_this_machine_reaches_a_server_by_default(served):
    assert served.models.options.address == "127.0.0.1"
    for port in (served.grpc_port, served.rest_port):
        (listening,) = listeners(port)
        assert listening in LOOPBACK


def listeners(port):
    """Addresses on which the kernel listens to a port."""
    if not pathlib.Path("/proc/net/tcp").exists():
        pytest.skip("needs Linux")
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            if state == "0A" and address.endswith(f":{port:04X}"):
                found.add(address.split(":")[0])
    return found


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.7", "example.com"])
def test_an_address_beyond_loopback_needs_tls_and_a_key(address):
    for safety in ({}, {"api_key": KEY}, {"tls_key": b"k", "tls_certificate": b"c"}):
        with pytest.raises(ValueError, match="needs TLS and an API key"):
            ServerOptions(address=address, **safety)
    ServerOptions(address=address, api_key=KEY, tls_key=b"k", tls_certificate=b"c")
    ServerOptions(address=address, allow_insecure_address=True)


@pytest.mark.parametrize("name", ESCAPES)
def test_no_name_reaches_a_file(served, name):
    body = json.dumps({"instances": [1.0]})
    paths = [
        ("POST", f"/v1/models/{name}:predict", body),
        ("GET", f"/v1/models/{name}", None),
        ("GET", f"/v1/models/{name}/metadata", None),
        ("POST", f"/v1/models/half_plus_two/versions/{name}:predict", body),
        ("POST", f"/v1/models/half_plus_two/labels/{name}:predict", body),
        ("GET", f"/{name}", None),
    ]
    for method, path, text in paths:
        status, answer = rest(served, method, path, text)
        labels_are_ignored = "/labels/" in path and method == "GET"
        assert status in (400, 404) or labels_are_ignored, (path, answer)
        assert "root:x:" not in answer
    with Client(served.grpc_address) as client:
        assert code_of(lambda: client.predict(name, X)) == grpc.StatusCode.NOT_FOUND


def test_no_request_opens_a_file_or_loads_code(start, base_path, half_plus_two):
    server = start(base_path(half_plus_two), "model")
    audit = Audit()

    def ask(client):
        rest_predict(server, "model", {"instances": [1.0]})
        rest_predict(server, "model", {"instances": ["__import__('os')"]})
        rest_predict(server, "../model", {"signature_name": "../x", "instances": [1.0]})
        rest(server, "GET", "/v1/models/model/metadata")
        client.predict("model", {"text": np.array(["cos\nsystem\n(S'id'\ntR."])}, "echo")
        for name in ("../../etc/passwd", "os.system"):
            for arguments in ((name, X), ("model", X, name), ("model", {name: X["x"]})):
                code_of(functools.partial(client.predict, *arguments))

    with Client(server.grpc_address) as client:
        ask(client)  # what libraries load at first use
        audit.on = True
        ask(client)
        audit.on = False
    assert audit.seen == []


@pytest.mark.parametrize("key", ["", " a", "a\n", "a\nb", "ключ", "a\0b"])
def test_a_key_that_no_client_can_send_is_refused(key):
    with pytest.raises(ValueError, match=r"--api_key_file\) must be one line of printable ASCII"):
        ServerOptions(api_key=key)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_key_is_sent_by_the_scheme_bearer_of_any_case(scheme):
    assert key_agrees(f"{scheme} {KEY}", KEY)
    assert key_agrees(f"{scheme}  {KEY} ", KEY)  # a header's spaces around a value are no part


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        KEY,
        f"Basic {KEY}",
        f"Token {KEY}",
        f"Bearers {KEY}",
        f"Bearer,{KEY}",
        f"Bearer{KEY}",
        "Bearer",
        "Bearer ",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY.swapcase()}",
        f"Bearer Bearer {KEY}",
    ],
)
def test_another_scheme_or_key_is_refused(sent):
    assert not key_agrees(sent, KEY)


@pytest.fixture
def guarded(start, base_path, half_plus_two):
    return start(base_path(half_plus_two), "model", api_key=KEY)


def test_without_the_key_nothing_is_answered_but_health(guarded):
    path, body = "/v1/models/model:predict", json.dumps({"instances": [2.0]})
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}):
        assert rest(guarded, "POST", path, body, headers)[0] == 401
        assert rest(guarded, "GET", "/v1/models/model", None, headers)[0] == 401
        assert rest(guarded, "GET", "/monitoring/prometheus/metrics", None, headers)[0] == 401
    assert rest(guarded, "POST", path, body, BEARER)[0] == 200
    of_any_case = {"Authorization": f"bEARER {KEY}"}  # RFC 9110, 11.1
    assert rest(guarded, "POST", path, body, of_any_case)[0] == 200
    with Client(guarded.grpc_address) as client:
        assert code_of(lambda: client.predict("model", X)) == grpc.StatusCode.UNAUTHENTICATED
        assert code_of(lambda: client.states("model")) == grpc.StatusCode.UNAUTHENTICATED
        metadata = [("authorization", f"Bearer {KEY}")]
        assert client.predict("model", X, metadata=metadata)[1] == 1
        health = client.health.Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(certificate, key) of localhost, in PEM."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", "key", "-out", "certificate", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return (folder / "certificate").read_bytes(), (folder / "key").read_bytes()


def test_with_tls_both_ports_speak_nothing_else(start, base_path, half_plus_two, certificate):
    public, private = certificate
    server = start(
        base_path(half_plus_two), "model", tls_certificate=public, tls_key=private, api_key=KEY
    )
    trust = grpc.ssl_channel_credentials(public)
    with Client(f"localhost:{server.grpc_port}", trust) as client:
        metadata = [("authorization", f"Bearer {KEY}")]
        assert client.predict("model", X, metadata=metadata)[1] == 1
    with Client(server.grpc_address) as client:
        assert code_of(lambda: client.predict("model", X)) == grpc.StatusCode.UNAVAILABLE
    assert server.rest_url.startswith("https://")
    request = urllib.request.Request(
        f"{server.rest_url}/v1/models/model:predict", b'{"instances": [2.0]}', BEARER
    )
    context = ssl.create_default_context(cadata=public.decode())
    with urllib.request.urlopen(request, context=context) as response:
        assert json.load(response) == {"predictions": [3.0]}
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(f"http://127.0.0.1:{server.rest_port}/v1/models/model", timeout=5)


@pytest.mark.parametrize("case", ["no PEM", "another's key", "a key with a password"])
def test_a_certificate_that_cannot_be_used_is_named(base_path, half_plus_two, certificate, case):
    public, private = certificate
    if case == "no PEM":
        public = b"junk"
    else:
        cipher = ["-aes256", "-passout", "pass:secret"] if "password" in case else []
        private = subprocess.run(
            ["openssl", "genrsa", *cipher, "2048"], check=True, capture_output=True
        ).stdout
    options = ServerOptions(port=0, rest_api_port=0, tls_certificate=public, tls_key=private)
    model = ModelConfig("model", str(base_path(half_plus_two)))
    with pytest.raises(ValueError, match="--tls_certificate_file and --tls_key_file must hold"):
        Server([model], options)


def test_a_handshake_that_does_not_come_is_not_waited_for(
    start, base_path, half_plus_two, certificate
):
    public, private = certificate
    server = start(
        base_path(half_plus_two),
        "model",
        tls_certificate=public,
        tls_key=private,
        client_timeout_seconds=0.5,
    )
    with socket.create_connection(("127.0.0.1", server.rest_port), 20) as connection:
        assert connection.recv(1) == b""


def test_no_log_carries_what_a_client_sent(log_lines, start, base_path, half_plus_two):
    server = start(base_path(half_plus_two), "model")
    secret = "s3cr3t"
    bodies = [
        {"signature_name": "echo", "inputs": [secret]},
        {"signature_name": secret, "inputs": [1.0]},
        {"instances": [secret]},
        {"inputs": {secret: 1}},
        f'{{"{secret}',
    ]
    for body in bodies:
        rest_predict(server, "model", body)
        rest_predict(server, secret, body)
    with Client(server.grpc_address) as client:
        client.predict("model", {"text": np.array([secret])}, "echo")
        code_of(lambda: client.predict(secret, X, secret))
        code_of(lambda: client.predict("model", {secret: X["x"]}))
        raw = client.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        code_of(lambda: raw(b"\xff" + secret.encode()))
    text = log_lines()
    assert '"code": "NOT_FOUND"' in text
    assert '"code": "OK"' in text
    assert secret not in text


def test_no_error_carries_what_another_client_sent(served):
    def wrong(number):
        request = classification_request()
        request["support_targets"][0] = 1000 + number
        client = clients[number % 2]
        call = client.prediction.Predict.future(predict_request("classifier", request), timeout=60)
        return number, call

    with Client(served.grpc_address) as first, Client(served.grpc_address) as second:
        clients = [first, second]
        for number, call in [wrong(number) for number in range(40)]:
            details = call.exception().details()
            assert f"[{1000 + number}]" in details
            assert not any(f"[{1000 + other}]" in details for other in range(40) if other != number)


def test_other_origins_get_no_permission_unless_asked_for(start, base_path, half_plus_two):
    def headers(server):
        with socket.create_connection(("127.0.0.1", server.rest_port), 10) as connection:
            connection.sendall(
                b"OPTIONS /v1/models/model:predict HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example"
                b"\r\nConnection: close\r\n\r\n"
            )
            return b"".join(iter(lambda: connection.recv(4096), b"")).decode().lower()

    folder = base_path(half_plus_two)
    assert "access-control-allow-origin" not in headers(start(folder, "model"))
    allowed = start(folder, "model", rest_api_enable_cors_support=True)
    assert "access-control-allow-origin: *" in headers(allowed)


def test_the_extra_is_short_and_bounded():
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    text = setup.split("SERVING = [")[1].split("]")[0]
    packages = [line.strip().strip('",') for line in text.strip().splitlines()]
    assert len(packages) <= 5
    assert all(">=" in package and ",<" in package for package in packages)
