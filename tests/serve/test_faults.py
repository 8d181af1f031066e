"""Bad clients and broken bytes: each gets its answer, and the next good request is answered.

The quick part; `python -m benchmarks.serving_faults` is the long one.
"""

import contextlib
import http.client
import json
import random
import socket
import time

import grpc
import numpy as np
import pytest
from example_servables import classification_request
from serving_clients import Client, predict_request, rest, rest_predict, wait_until

from tfmeta.serve.errors import Code
from tfmeta.serve.rest.protocol import MOST_TURNED_AWAY

X = {"x": np.float32([1.0])}
PREDICT = "/tensorflow.serving.PredictionService/Predict"
# What a malformed request may be told; never that the server failed.
CLIENTS_FAULT = (
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    Code.FAILED_PRECONDITION,
    Code.RESOURCE_EXHAUSTED,
)


@pytest.fixture(scope="module")
def client(served):
    with Client(served.grpc_address) as connected:
        yield connected


def still_answers(served, client):
    assert client.predict("half_plus_two", X)[0]["y"].tolist() == [2.5]
    assert rest_predict(served, "half_plus_two", {"instances": [1.0]})[0] == 200


def mutated(text, generator):
    """Bytes with a few of them changed, dropped, doubled or moved."""
    text = bytearray(text)
    for _ in range(generator.randint(1, 6)):
        start = generator.randrange(len(text))
        end = min(len(text), start + generator.randint(1, 8))
        text[start:end] = (
            generator.choice(
                [b"", bytes(generator.randbytes(end - start)), bytes(text[start:end]) * 3]
            )
            or b"\0"
        )
    return bytes(text)


def test_fuzzed_protos_get_an_error_or_an_answer(served, client):
    generator = random.Random(0)
    whole = predict_request("classifier", classification_request(2, 1)).SerializeToString()
    raw = client.channel.unary_unary(PREDICT)
    codes = set()
    for _ in range(300):
        call = raw.future(mutated(whole, generator), timeout=30)
        codes.add(call.code())
    # INTERNAL is what gRPC itself says of bytes that are no message.
    assert codes <= {*CLIENTS_FAULT, Code.OK, Code.INTERNAL}
    assert len(codes) >= 3
    still_answers(served, client)


def test_fuzzed_json_gets_an_error_or_an_answer(served, client):
    generator = random.Random(0)
    whole = json.dumps(
        {"inputs": {name: value.tolist() for name, value in classification_request(2, 1).items()}}
    ).encode()
    statuses = set()
    for _ in range(300):
        status, answer = rest_predict(served, "classifier", mutated(whole, generator))
        statuses.add(status)
        assert ("error" in answer) == (status != 200)
    assert statuses <= {200, 400, 404}
    still_answers(served, client)


def bad_requests():
    good = classification_request()
    images, labels = good["support_inputs"], good["support_targets"]
    return {
        "rank": {**good, "support_inputs": images[..., 0]},
        "scalar": {**good, "support_inputs": np.float32(1)},
        "size": {**good, "query_inputs": np.zeros((2, 7, 6, 1), np.float32)},
        "type": {**good, "support_targets": labels.astype(np.int64)},
        "double": {**good, "support_inputs": images.astype(np.float64)},
        "text": {**good, "query_inputs": np.array(["x"])},
        "lengths": {**good, "support_targets": labels[:-1]},
        "label": {**good, "support_targets": labels + 100},
        "nan": {**good, "support_inputs": np.full_like(images, np.nan)},
        "infinity": {**good, "query_inputs": np.full((1, 6, 6, 1), np.inf, np.float32)},
        "empty": {**good, "support_inputs": images[:0], "support_targets": labels[:0]},
        "many": {
            "support_inputs": np.zeros((41, 6, 6, 1), np.float32),
            "support_targets": np.zeros(41, np.int32),
            "query_inputs": good["query_inputs"],
        },
        "missing": {"query_inputs": good["query_inputs"]},
        "extra": {**good, "inner_steps": np.int32(1)},
    }


@pytest.mark.parametrize("case", bad_requests())
def test_a_wrong_tensor_is_the_clients_fault_in_words(served, client, case):
    with pytest.raises(grpc.RpcError) as caught:
        client.predict("classifier", bad_requests()[case])
    assert caught.value.code() == Code.INVALID_ARGUMENT
    assert len(caught.value.details()) > 20
    still_answers(served, client)


@pytest.mark.parametrize("steps", [-1, 1_000_001, 2**31 - 1])
def test_a_huge_step_count_is_refused_at_once(served, client, steps):
    request = {
        **classification_request(),
        "inner_steps": np.int32(steps),
        "inner_rate_scale": np.float32(1),
    }
    begin = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        client.predict("classifier", request, "adapt_and_predict_with")
    assert caught.value.code() == Code.INVALID_ARGUMENT
    assert "inner_steps must" in caught.value.details()
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: setattr(tensor, "dtype", 99),
        lambda tensor: setattr(tensor, "dtype", 0),
        lambda tensor: setattr(tensor, "dtype", 20),  # a resource
        lambda tensor: setattr(tensor.tensor_shape, "unknown_rank", True),
        lambda tensor: setattr(tensor.tensor_shape.dim[0], "size", -1),
        lambda tensor: setattr(tensor, "tensor_content", b"abc"),
        lambda tensor: [tensor.tensor_shape.dim.add(size=1) for _ in range(300)],
    ],
    ids=["type", "no type", "resource", "rank", "negative", "bytes", "axes"],
)
def test_what_is_no_tensor_is_a_parsing_error(served, client, change):
    request = predict_request("half_plus_two", X)
    change(request.inputs["x"])
    with pytest.raises(grpc.RpcError) as caught:
        client.prediction.Predict(request, timeout=30)
    # tensorflow cc/saved_model/util.cc
    assert (caught.value.code(), caught.value.details()) == (
        Code.INVALID_ARGUMENT,
        "tensor parsing error: x",
    )


@pytest.fixture
def hasty(start, base_path, half_plus_two):
    """A server that waits for a client for half a second."""
    return start(base_path(half_plus_two), "model", client_timeout_seconds=0.5, max_connections=20)


def closed_after(connection, seconds=20):
    """Seconds until the server ends a connection."""
    begin = time.monotonic()
    connection.settimeout(seconds)
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - begin


def connect(server):
    return socket.create_connection(("127.0.0.1", server.rest_port), 10)


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /v1/models/model:predict HT", b"GET /v1/models/model HTTP/1.1\r\nX: "],
    ids=["nothing", "half a line", "half a head"],
)
def test_a_slow_head_is_cut_off(hasty, sent):
    with connect(hasty) as connection:
        connection.sendall(sent)
        assert closed_after(connection) < 15
    assert rest_predict(hasty, "model", {"instances": [1.0]})[0] == 200


def test_a_head_that_trickles_is_cut_off_too(hasty):
    with connect(hasty) as connection:
        begin = time.monotonic()
        with pytest.raises(ConnectionError):
            trickle(connection, 15)
        assert time.monotonic() - begin < 15


def trickle(connection, seconds):
    """Sends a byte every now and then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        connection.sendall(b"X")
        time.sleep(0.05)  # the slowness is the attack


def test_a_slow_body_gets_its_error(hasty):
    with connect(hasty) as connection:
        head = b"POST /v1/models/model:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
        connection.sendall(head)
        connection.settimeout(15)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 504 ")
    assert rest_predict(hasty, "model", {"instances": [1.0]})[0] == 200


def test_a_client_that_stops_reading_is_cut_off(hasty):
    body = json.dumps({"signature_name": "echo", "inputs": ["x" * 12_000_000]}).encode()
    head = (
        f"POST /v1/models/model:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", hasty.rest_port))
        connection.sendall(head.encode() + body)
        # The server gives up by itself; only then is anything read.
        wait_until(lambda: not open_connections(hasty), 20)
        assert received_until_reset(connection) < 28_000_000
    assert rest_predict(hasty, "model", {"instances": [1.0]})[0] == 200


def received_until_reset(connection):
    received = 0
    try:
        while chunk := connection.recv(1 << 20):
            received += len(chunk)
    except ConnectionError:
        pass
    return received


def open_connections(server):
    return server._rest._server.server_state.connections


def test_the_deadline_covers_the_reading_of_the_answer(
    start, base_path, half_plus_two, monkeypatch
):
    """A reader that takes a little now and then is never idle, and not endless either."""
    monkeypatch.setattr("tfmeta.serve.rest.rest_server.GRACE_SECONDS", 0.1)
    folder = base_path(half_plus_two)
    body = json.dumps({"signature_name": "echo", "inputs": ["x" * 6_000_000]}).encode()
    head = f"POST /v1/models/model:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
    for seconds in (1.5, 10, 40):  # the first in which this machine begins to answer
        server = start(folder, "model", rest_api_timeout_in_ms=round(1000 * seconds))
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(60)
            connection.connect(("127.0.0.1", server.rest_port))
            connection.sendall(head.encode() + b"\r\n\r\n" + body)
            begin, first, received = time.monotonic(), b"", 0
            with contextlib.suppress(ConnectionError):
                first = connection.recv(12)
            if first != b"HTTP/1.1 200":
                continue
            with contextlib.suppress(ConnectionError):
                while open_connections(server) and time.monotonic() < begin + seconds + 15:
                    received += len(connection.recv(4096))
                    time.sleep(0.01)  # the slowness is the attack
            assert not open_connections(server)
            assert received + received_until_reset(connection) < 10_000_000
            break
    else:
        pytest.fail("no answer began in time")
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=30)
    for _ in range(9):  # the deadline is of a request, not of its connection
        connection.request("POST", "/v1/models/model:predict", b'{"instances": [1.0]}')
        kept = connection.sock
        assert connection.getresponse().read()
        assert connection.sock is kept
        time.sleep(0.15 * seconds)
    connection.close()


def test_no_more_connections_are_held_than_allowed(hasty, caplog):
    crowd = [connect(hasty) for _ in range(120)]
    try:
        wait_until(lambda: len(open_connections(hasty)) >= 20)
        assert len(open_connections(hasty)) <= 20
        # The kernel holds those that the server has not looked at yet.
        wait_until(lambda: sum(map(is_open, crowd)) <= 20 + MOST_TURNED_AWAY)
    finally:
        for connection in crowd:
            connection.close()
    wait_until(lambda: rest(hasty, "GET", "/v1/models/model")[0] == 200)
    assert not [each for each in caplog.records if each.name == "asyncio"]


def is_open(connection):
    """Whether the server holds a connection without an answer."""
    connection.settimeout(0.005)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False


@pytest.mark.parametrize("chunked_first", [True, False])
def test_a_request_of_two_lengths_is_refused_and_its_connection_closed(served, chunked_first):
    """A proxy that goes by the other length would take the rest for a request of its own."""
    lengths = ["Transfer-Encoding: chunked", "Content-Length: 4"]
    lines = lengths if chunked_first else lengths[::-1]
    head = "POST /v1/models/half_plus_two:predict HTTP/1.1\r\nHost: x\r\n" + "\r\n".join(lines)
    inner = "GET /v1/models/half_plus_two HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(served) as connection:
        connection.sendall(f"{head}\r\n\r\n0\r\n\r\n{inner}".encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1, "what follows is no request"
    assert b"connection: close" in answer.lower()
    assert b"Transfer-Encoding. Received: both." in answer


def test_who_asks_for_websocket_is_answered_without_a_warning(served, log_lines):
    names = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    headers = {**names, "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert rest(served, "GET", "/v1/models/half_plus_two", None, headers)[0] == 200
    assert "WARNING" not in log_lines()


def test_beyond_the_connections_allowed_clients_are_turned_away(hasty):
    crowd = [connect(hasty) for _ in range(30)]
    try:
        wait_until(lambda: len(open_connections(hasty)) >= 20)
        status, answer = rest(hasty, "GET", "/v1/models/model")
        assert (status, list(json.loads(answer))) == (503, ["error"])
    finally:
        for connection in crowd:
            connection.close()
    wait_until(lambda: rest(hasty, "GET", "/v1/models/model")[0] == 200)


def test_a_client_that_hangs_up_costs_nothing(served, client):
    body = json.dumps({"instances": [1.0]}).encode()
    head = b"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nHost: x\r\nContent-Length: "
    for sent in (head, head + b"99\r\n\r\n" + body, head + b"19\r\n\r\n" + body):
        with connect(served) as connection:
            connection.sendall(sent)
    call = client.prediction.Predict.future(predict_request("half_plus_two", X))
    call.cancel()
    wait_until(lambda: served.models._admission.running == 0)
    still_answers(served, client)


def test_noise_on_the_grpc_port_is_ignored(served, client):
    with socket.create_connection(("127.0.0.1", served.grpc_port), 10) as connection:
        connection.sendall(random.Random(0).randbytes(10_000))
    with socket.create_connection(("127.0.0.1", served.grpc_port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    still_answers(served, client)


def test_an_idle_connection_makes_room_for_a_new_one(start, base_path, half_plus_two):
    server = start(base_path(half_plus_two), "model", max_connections=20)
    crowd = [connect(server) for _ in range(20)]
    try:
        wait_until(lambda: len(open_connections(server)) == 20)
        begin = time.monotonic()
        wait_until(lambda: rest(server, "GET", "/v1/models/model")[0] == 200)
        assert time.monotonic() - begin < 10, "a crowd has 20 seconds each to send its head"
    finally:
        for connection in crowd:
            connection.close()


UNREAD = b"POST /v2/nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_the_rest_of_a_body_that_was_answered_is_not_parsed(served):
    with connect(served) as connection:
        connection.sendall(UNREAD + b"1\r\nx\r\n")
        answer = connection.recv(65536).lower()
        assert answer.startswith(b"http/1.1 404 ")
        assert b"\r\nconnection: close\r\n" in answer
        assert connection.recv(65536) == b"", "the server says that it is done"
        with pytest.raises(ConnectionError):
            trickle(connection, 15)


def test_who_sends_on_after_the_answer_can_still_read_it(served):
    with connect(served) as connection:
        connection.sendall(UNREAD)
        chunk = b"%x\r\n" % 100_000 + b"x" * 100_000 + b"\r\n"
        for _ in range(30):
            connection.sendall(chunk)
        assert connection.recv(65536).startswith(b"HTTP/1.1 404 ")


def test_a_request_that_was_read_keeps_its_connection(served):
    connection = http.client.HTTPConnection("127.0.0.1", served.rest_port, timeout=30)
    for body in (b'{"instances": [1.0]}', b'{"instances": []}', b'{"instances": [2.0]}'):
        connection.request("POST", "/v1/models/half_plus_two:predict", body)
        kept = connection.sock
        connection.getresponse().read()
        assert connection.sock is kept
    connection.close()
