"""What a request may take: time, places, bytes; and what happens beyond."""

import concurrent.futures
import dataclasses
import socket
import threading
import time

import grpc
import numpy as np
import pytest
from example_servables import classification_request
from grpc_health.v1 import health_pb2
from serving_clients import Client, predict_request, rest, rest_predict, wait_until

from tfmeta.serve import ServerOptions
from tfmeta.serve.errors import Code, ServingError
from tfmeta.serve.models.admission import Admission

X = {"x": np.float32([1.0])}
ENDLESS = {"rounds": np.int64(10**12)}
LONG_SECONDS = 30


def failure(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


@pytest.fixture
def server(start, base_path, half_plus_two):
    return start(
        base_path(half_plus_two),
        "model",
        max_concurrent_requests=1,
        max_queued_requests=2,
        max_message_bytes=100_000,
        max_request_seconds=60,
        rest_api_timeout_in_ms=700,
        client_timeout_seconds=5,
    )


@pytest.fixture
def client(server):
    with Client(server.grpc_address) as connected:
        yield connected


def test_a_deadline_ends_a_long_adaptation(start, classifier):
    server = start(classifier.parent, "classifier")
    request = {
        **classification_request(),
        "inner_steps": np.int32(1_000_000),
        "inner_rate_scale": np.float32(0.0),
    }
    with Client(server.grpc_address) as client:
        begin = time.monotonic()
        error = failure(
            lambda: client.predict("classifier", request, "adapt_and_predict_with", timeout=0.5)
        )
        assert error.code() == Code.DEADLINE_EXCEEDED
        wait_until(lambda: server.models._admission.running == 0, 20)
        assert time.monotonic() - begin < 20
        client.predict("classifier", classification_request())


def test_rest_requests_have_a_deadline_of_their_own(server):
    body = {"signature_name": "count", "inputs": 10**12}
    status, answer = rest_predict(server, "model", body)
    assert status == 504
    assert answer == {"error": "Timed out waiting for notification"}
    assert rest_predict(server, "model", {"instances": [1.0]})[0] == 200


def test_the_server_has_a_longest_time_whatever_the_client_allows(start, base_path, half_plus_two):
    server = start(base_path(half_plus_two), "model", max_request_seconds=0.3)
    with Client(server.grpc_address) as client:
        error = failure(lambda: client.predict("model", ENDLESS, "count", timeout=None))
        assert error.code() == Code.DEADLINE_EXCEEDED


def test_beyond_the_queue_requests_are_shed_and_the_server_recovers(server, client):
    request = predict_request("model", ENDLESS, "count")
    calls = [client.prediction.Predict.future(request, timeout=2) for _ in range(3)]
    wait_until(lambda: server.models._admission.waiting == 2)
    error = failure(lambda: client.predict("model", X))
    assert error.code() == Code.RESOURCE_EXHAUSTED
    assert "computes 1 requests and 2 wait" in error.details()
    status, answer = rest_predict(server, "model", {"instances": [1.0]})
    assert (status, "Try again later" in answer["error"]) == (429, True)
    assert client.states("model") == {1: "AVAILABLE"}, "the status needs no place"
    assert {failure(call.result).code() for call in calls} == {Code.DEADLINE_EXCEEDED}
    wait_until(lambda: server.models._admission.running == 0)
    assert client.predict("model", X)[1] == 1


def test_who_leaves_the_queue_is_not_computed(start, base_path, half_plus_two):
    server = start(base_path(half_plus_two), "model", max_concurrent_requests=1)
    with Client(server.grpc_address) as client:
        first = client.prediction.Predict.future(
            predict_request("model", ENDLESS, "count"), timeout=1.5
        )
        wait_until(lambda: server.models._admission.running == 1)
        error = failure(lambda: client.predict("model", X, timeout=0.2))
        assert error.code() == Code.DEADLINE_EXCEEDED
        assert failure(first.result).code() == Code.DEADLINE_EXCEEDED
        assert client.predict("model", X, timeout=LONG_SECONDS)[1] == 1


def test_a_rest_client_that_hangs_up_in_the_queue_is_not_computed(
    start, base_path, half_plus_two, log_lines
):
    server = start(base_path(half_plus_two), "model", max_concurrent_requests=1)
    body = b'{"instances": [1.0]}'
    head = (
        f"POST /v1/models/model:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with Client(server.grpc_address) as client:
        first = client.prediction.Predict.future(
            predict_request("model", ENDLESS, "count"), timeout=2
        )
        wait_until(lambda: server.models._admission.running == 1)
        with socket.create_connection(("127.0.0.1", server.rest_port), 10) as connection:
            connection.sendall(head.encode() + body)
            wait_until(lambda: server.models._admission.waiting == 1)
        assert failure(first.result).code() == Code.DEADLINE_EXCEEDED
        wait_until(lambda: '"code": "CANCELLED"' in log_lines())


def test_a_message_beyond_the_limit_is_refused(server, client):
    large = {"x": np.zeros(50_000, np.float32)}
    assert failure(lambda: client.predict("model", large)).code() == Code.RESOURCE_EXHAUSTED
    status, answer = rest_predict(server, "model", {"instances": [1.0] * 50_000})
    assert status == 413, "429 would be asked again"
    assert answer["error"].startswith("A request must be at most 100000 bytes.")
    assert client.predict("model", X)[1] == 1


def test_a_short_message_of_a_huge_tensor_is_refused(client):
    request = predict_request("model", X)
    request.inputs["x"].ClearField("tensor_content")
    request.inputs["x"].float_val.append(1.0)
    for dimension in request.inputs["x"].tensor_shape.dim:
        dimension.size = 2**40
    error = failure(lambda: client.prediction.Predict(request, timeout=LONG_SECONDS))
    assert error.code() == Code.INVALID_ARGUMENT
    assert "x must be at most 100000 bytes" in error.details()


def test_a_chunked_body_beyond_the_limit_is_refused(server):
    status, answer = rest(server, "POST", "/v1/models/model:predict", iter([b"[" * 50_000] * 4))
    assert status == 413
    assert "at most 100000 bytes" in answer


def test_a_stop_answers_what_is_in_progress_and_refuses_the_rest(start, base_path, half_plus_two):
    server = start(base_path(half_plus_two), "model")
    with Client(server.grpc_address) as client, Client(server.grpc_address) as other:
        client.predict("model", X)
        other.predict("model", X)
        call = client.prediction.Predict.future(
            predict_request("model", {"rounds": np.int64(150_000)}, "count"), timeout=LONG_SECONDS
        )
        wait_until(lambda: server.models._admission.running == 1)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        wait_until(lambda: server.models._admission._closed)
        error = failure(lambda: other.predict("model", X))
        assert error.code() == Code.UNAVAILABLE
        health = other.health.Check(health_pb2.HealthCheckRequest(), timeout=LONG_SECONDS)
        assert health.status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert call.result().model_spec.version.value == 1
        stopping.join()


def test_places_are_given_in_order_of_arrival():
    admission, order = Admission(1, 3), []
    far = time.monotonic() + 30

    def work(number):
        with admission.slot(far):
            order.append(number)

    with concurrent.futures.ThreadPoolExecutor() as pool, admission.slot(far):
        for number in range(3):
            pool.submit(work, number)
            wait_until(lambda number=number: admission.waiting == number + 1)
        with pytest.raises(ServingError, match="3 wait"), admission.slot(far):
            pass
    assert order == [0, 1, 2]
    assert (admission.running, admission.waiting) == (0, 0)


def test_a_place_that_comes_too_late_goes_to_the_next():
    admission = Admission(1, 3)
    with admission.slot(time.monotonic() + 30):
        with pytest.raises(ServingError) as caught, admission.slot(time.monotonic() + 0.05):
            pass
        assert caught.value.code == Code.DEADLINE_EXCEEDED
        assert admission.waiting == 0
    with admission.slot(time.monotonic() + 30):
        assert admission.running == 1


class LateTurn(threading.Event):
    """A wait that ends without its place, which comes before the waiter can say so."""

    def wait(self, timeout=None):
        super().wait()
        return False


def test_a_place_that_comes_as_it_is_given_up_goes_to_the_next(monkeypatch):
    admission, order = Admission(1, 3), []
    far = time.monotonic() + 30

    def work(turn_class, name):
        monkeypatch.setattr("tfmeta.serve.models.admission.threading.Event", turn_class)
        try:
            with admission.slot(far):
                order.append(name)
        except ServingError as error:
            order.append(error.code)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        with admission.slot(far):
            calls = []
            for turn_class, name in ((LateTurn, "late"), (threading.Event, "next")):
                calls.append(pool.submit(work, turn_class, name))
                wait_until(lambda: admission.waiting == len(calls))
        for call in calls:
            call.result(timeout=30)
    assert order == [Code.DEADLINE_EXCEEDED, "next"]
    assert (admission.running, admission.waiting) == (0, 0)


def test_a_place_given_up_as_it_comes_with_nobody_behind_is_free(monkeypatch):
    admission = Admission(1, 3)
    monkeypatch.setattr("tfmeta.serve.models.admission.threading.Event", LateTurn)

    def work():
        with pytest.raises(ServingError), admission.slot(time.monotonic() + 30):
            pass

    with concurrent.futures.ThreadPoolExecutor() as pool:
        with admission.slot(time.monotonic() + 30):
            call = pool.submit(work)
            wait_until(lambda: admission.waiting == 1)
        call.result(timeout=30)
    assert (admission.running, admission.waiting) == (0, 0)
    assert admission.close(timeout=0)


def test_a_place_is_free_after_a_request_that_failed():
    admission = Admission(concurrent=1, queued=0)
    with pytest.raises(ZeroDivisionError), admission.slot(time.monotonic() + 1):
        raise ZeroDivisionError
    assert admission.running == 0
    with admission.slot(time.monotonic() + 1):
        assert admission.running == 1


def test_a_wait_that_cannot_be_leaves_no_place_behind():
    admission = Admission(1, 3)
    with admission.slot(time.monotonic() + 30):
        with pytest.raises(OverflowError), admission.slot(float("inf")):
            pass
        assert admission.waiting == 0


NUMBERS = [
    field.name
    for field in dataclasses.fields(ServerOptions)
    if type(field.default) in (int, float) and not field.name.endswith("port")
]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -5, 3e9])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_breaks_requests_is_refused_at_the_start(name, value):
    with pytest.raises(ValueError, match=f"{name} must be at least"):
        ServerOptions(**{name: value})


def test_the_metrics_count_requests_by_code(served):
    _, before = rest(served, "GET", "/monitoring/prometheus/metrics")
    for body in ({"instances": [1.0]}, {"instances": []}):
        rest_predict(served, "half_plus_two", body)
    rest_predict(served, "invented" * 10, {"instances": [1.0]})
    status, page = rest(served, "GET", "/monitoring/prometheus/metrics")
    assert status == 200
    count = ":tensorflow:serving:request_count"  # servables/tensorflow/util.cc:70
    for labels in (
        'model_name="half_plus_two",status="OK"',
        'model_name="half_plus_two",status="INVALID_ARGUMENT"',
        'model_name="",status="NOT_FOUND"',
    ):
        assert number(page, f"{count}{{{labels}}}") == number(before, f"{count}{{{labels}}}") + 1
    assert "invented" not in page, "clients must not make time series"
    for name in ("request_latency", "runtime_latency"):  # util.cc:80, 88
        assert f"# TYPE :tensorflow:serving:{name} histogram" in page
    assert "_created" not in page
    assert "process_resident_memory_bytes" in page


def number(page, series):
    found = [line for line in page.splitlines() if line.startswith(series + " ")]
    return float(found[0].split()[-1]) if found else 0.0
