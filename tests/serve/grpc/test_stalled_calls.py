"""gRPC calls without a message: they hold up nobody."""

import threading
import time

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2
from serving_clients import Client, wait_until

from tfmeta.serve.errors import Code

X = {"x": np.float32([1.0])}
KEY = "secret"
METHODS = [
    "/tensorflow.serving.PredictionService/Predict",
    "/tensorflow.serving.ModelService/GetModelStatus",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
]


@pytest.fixture
def crowd():
    """`crowd(address, method, number)` begins calls whose message does not come."""
    end, channels = threading.Event(), []

    def begin(address, method, number):
        channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
        channels.append(channel)
        call = channel.stream_stream(method)

        def nothing():
            end.wait()
            yield from ()

        return [call(nothing()) for _ in range(number)]

    yield begin
    end.set()
    for channel in channels:
        channel.close()


def healthy(client):
    request = health_pb2.HealthCheckRequest()
    try:
        return client.health.Check(request, timeout=30).status == 1
    except grpc.RpcError:  # no room yet
        return False


def test_strangers_are_refused_before_their_message(start, base_path, half_plus_two, crowd):
    server = start(base_path(half_plus_two), "model", api_key=KEY)
    calls = crowd(server.grpc_address, METHODS[0], 200)
    assert {call.code() for call in calls} == {Code.UNAUTHENTICATED}
    with Client(server.grpc_address) as client:
        assert healthy(client)
        metadata = [("authorization", f"bearer {KEY}")]  # RFC 9110: of any case
        assert client.predict("model", X, metadata=metadata)[1] == 1


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.split("/")[-1])
def test_a_crowd_that_sends_no_message_makes_room(start, base_path, half_plus_two, crowd, method):
    server = start(base_path(half_plus_two), "model", max_concurrent_requests=2)
    begin = time.monotonic()
    calls = crowd(server.grpc_address, method, 80)
    with Client(server.grpc_address) as client:
        wait_until(lambda: any(call.done() for call in calls))  # those beyond all threads
        wait_until(lambda: healthy(client), 15)
        assert client.predict("model", X)[1] == 1
    assert time.monotonic() - begin < 15, "before the client's time to send is over"
    assert not all(call.done() for call in calls), "only as many as others need"


def test_a_message_that_does_not_come_in_time_ends_its_call(start, base_path, half_plus_two, crowd):
    server = start(base_path(half_plus_two), "model", client_timeout_seconds=0.3)
    calls = crowd(server.grpc_address, METHODS[0], 3)
    assert {call.code() for call in calls} == {Code.CANCELLED}


def test_a_call_that_ends_without_a_message_is_refused(served):
    with Client(served.grpc_address) as client:
        call = client.channel.stream_unary(METHODS[0])
        with pytest.raises(grpc.RpcError, match="exactly one request message") as caught:
            call(iter(()), timeout=30)
        assert caught.value.code() == Code.UNIMPLEMENTED


def test_bytes_that_are_no_message_are_refused_in_grpcs_words(served):
    with Client(served.grpc_address) as client:
        call = client.channel.unary_unary(METHODS[0])
        with pytest.raises(grpc.RpcError, match="Exception deserializing request") as caught:
            call(b"\xff\xff", timeout=30)
        assert caught.value.code() == Code.INTERNAL


def test_health_can_be_watched(served):
    with Client(served.grpc_address) as client:
        watching = client.health.Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
        watching.cancel()
