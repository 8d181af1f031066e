"""What large bodies may cost: memory, time, and the place of other requests."""

import gc
import gzip
import json
import shutil
import socket
import tracemalloc

import numpy as np
import pytest
from serving_clients import rest, rest_predict, wait_until

import tfmeta.serve
from tfmeta.serve.errors import Code, ServingError
from tfmeta.serve.models.large_work import LARGE_BYTES, on_large
from tfmeta.serve.rest import json_reading
from tfmeta.serve.rest.body import unpacked

MEBIBYTE = 2**20
MOST = 200_000
GZIPPED = {"Content-Encoding": "gzip"}


@pytest.fixture(scope="module")
def server(half_plus_two, tmp_path_factory):
    folder = tmp_path_factory.mktemp("large") / "model"
    shutil.copytree(half_plus_two, folder / "1")
    with tfmeta.serve.start(folder, "model", max_message_bytes=MOST) as running:
        yield running


OBJECT = "Missing a comma or '}' after an object member."
ARRAY = "Missing a comma or ']' after an array element."


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"a":"' + b"x" * MEBIBYTE + b'" 1}', OBJECT),
        (b'{"a":"' + b"\\n" * MEBIBYTE + b'" 1}', OBJECT),
        (b'{"a":[' + b"1," * MEBIBYTE + b"1 2]}", ARRAY),
        (b'{"a":[' + b'"]",' * 99 + b"[[]],{} 2]}", ARRAY),
        (b'{"a":[{"[":[1]}]' + b" " * MEBIBYTE + b"2}", OBJECT),
        (b'{"a":["' + b"1e400" * (MEBIBYTE // 8) + b'" 2]}', ARRAY),
    ],
    ids=["string", "escapes", "numbers", "brackets", "spaces", "exponents"],
)
def test_a_mistake_in_a_large_body_takes_no_more_memory_than_the_body(body, words):
    tracemalloc.start()
    try:
        with pytest.raises(ServingError, match=words):
            json_reading.parse(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The text, what was parsed of it (8 bytes a number of 2) and a copy for the offset.
    assert peak < 8 * len(body) + MEBIBYTE


def test_a_body_of_countless_lists_is_refused_before_it_is_parsed(server):
    body = b'{"inputs": [' + b"[]," * 40_000 + b"[]]}"
    status, answer = rest_predict(server, "model", body)
    assert status == 413
    assert answer["error"].startswith(
        "A request must hold at most 25000 lists and objects. Received: 40003."
    )
    assert rest_predict(server, "model", {"inputs": [[1.0]] * 20_000})[0] == 200


@pytest.mark.parametrize("fails", [False, True])
def test_work_on_a_large_body_is_not_interrupted_by_the_collector(fails):
    collections = []

    def work():
        lists = [[] for _ in range(100_000)]
        if fails:
            raise ServingError(Code.INVALID_ARGUMENT, "no tensor")
        return len(lists)

    def count(phase, _):
        collections.append(phase)

    gc.callbacks.append(count)
    try:
        on_large(1, lambda: [[] for _ in range(100_000)])
        assert collections, "otherwise this test sees nothing"
        collections.clear()
        if fails:
            with pytest.raises(ServingError, match="no tensor"):
                on_large(LARGE_BYTES, work)
        else:
            assert on_large(LARGE_BYTES, work) == 100_000
        assert len(collections) <= 2, "but for one after it"
    finally:
        gc.callbacks.remove(count)
    assert gc.isenabled()


def test_the_error_of_a_large_body_does_not_hold_it():
    with pytest.raises(ServingError) as caught:
        on_large(LARGE_BYTES, lambda: json_reading.parse(b'{"inputs": [1, 2}'))
    assert caught.value.__context__ is None, "Python's own error holds the document"


def test_a_gzip_body_is_unpacked(server):  # httpserver_interface.h: auto_uncompress_input_
    body = gzip.compress(json.dumps({"instances": [1.0]}).encode())
    status, answer = rest(server, "POST", "/v1/models/model:predict", body, GZIPPED)
    assert (status, json.loads(answer)) == (200, {"predictions": [2.5]})


def test_a_gzip_body_may_have_several_members(server):  # RFC 1952, 2.2
    text = json.dumps({"instances": [1.0, 3.0]}).encode()
    parts = (text[:5], b"", text[5:9], text[9:])
    body = b"".join(map(gzip.compress, parts)) + b"\0" * 7
    status, answer = rest(server, "POST", "/v1/models/model:predict", body, GZIPPED)
    assert (status, json.loads(answer)) == (200, {"predictions": [2.5, 3.5]})
    noise = np.random.default_rng(0).bytes(200_000)
    assert unpacked(gzip.compress(noise) + gzip.compress(noise[:9]), 300_000) == noise + noise[:9]
    with pytest.raises(ServingError, match="at most 399999 bytes"):
        unpacked(gzip.compress(noise) * 2, 399_999)
    assert unpacked(gzip.compress(b"") * 5000, 9) == b"", "work without end"
    assert unpacked(gzip.compress(noise) + gzip.compress(noise)[:99], 10**6) == b""


@pytest.mark.parametrize(
    "body",
    [b'{"instances": [1.0]}', gzip.compress(b"{}")[:-9], b""],
    ids=["plain", "cut", "nothing"],
)
def test_what_is_no_gzip_is_an_empty_body(server, body):  # evhttp_request.cc:261
    status, answer = rest(server, "POST", "/v1/models/model:predict", body, GZIPPED)
    assert (status, json.loads(answer)) == (
        400,
        {"error": "JSON Parse error: The document is empty"},
    )


def test_a_small_body_cannot_unpack_to_a_large_one(server):
    body = gzip.compress(b" " * 50 * MOST)
    assert len(body) < MOST
    status, answer = rest(server, "POST", "/v1/models/model:predict", body, GZIPPED)
    assert status == 413
    assert f"A request must be at most {MOST} bytes." in answer


def test_bodies_that_wait_have_a_limit_together_and_leave_room_for_small_ones(server):
    head = f"POST /v1/models/model:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {MOST}\r\n\r\n"
    sent = head.encode() + b" " * (MOST - 1)
    crowd = [socket.create_connection(("127.0.0.1", server.rest_port), 10) for _ in range(10)]
    try:
        for connection in crowd:
            connection.sendall(sent)
        refused = wait_until(lambda: first_line_of_any(crowd))
        assert refused.startswith(b"HTTP/1.1 429 ")
        assert rest_predict(server, "model", {"instances": [1.0]})[0] == 200
        large = {"instances": [1.0] * 39_000}
        status, answer = rest_predict(server, "model", large)
        assert (status, "holds" in answer["error"]) == (429, True)
    finally:
        for connection in crowd:
            connection.close()
    wait_until(lambda: rest_predict(server, "model", large)[0] == 200)


def first_line_of_any(connections):
    for connection in connections:
        connection.settimeout(0.05)
        try:
            return connection.recv(4096)
        except TimeoutError:
            continue
    return None
