"""Many gRPC clients, their pings, and connections that grow old."""

import contextlib
import time

import grpc
import numpy as np
from serving_clients import predict_request
from tensorflow_serving.apis import prediction_service_pb2_grpc

CLIENTS = 200
REQUEST = predict_request("model", {"x": np.float32([1.0])})


@contextlib.contextmanager
def connected(address, options=()):
    """A client of a connection of its own: (channel, stub)."""
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1), *options]) as made:
        yield made, prediction_service_pb2_grpc.PredictionServiceStub(made)


def test_two_hundred_clients_are_all_answered_where_the_queue_holds_them(
    start, base_path, half_plus_two
):
    server = start(
        base_path(half_plus_two), "model", max_concurrent_requests=2, max_queued_requests=CLIENTS
    )
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(server.grpc_address)) for _ in range(CLIENTS)]
        for _ in range(2):
            calls = [stub.Predict.future(REQUEST, timeout=60) for _, stub in clients]
            assert {call.code() for call in calls} == {grpc.StatusCode.OK}


PINGS = (
    ("grpc.keepalive_time_ms", 100),
    ("grpc.keepalive_timeout_ms", 5000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)


def test_idle_clients_may_ping(served):
    """Else their connection ends, and the next request with it: "Too many pings"."""
    request = predict_request("half_plus_two", {"x": np.float32([1.0])})
    with connected(served.grpc_address, PINGS) as (channel, stub):
        stub.Predict(request, timeout=30)
        seen = []
        channel.subscribe(seen.append)
        time.sleep(1.2)  # as long as the client is idle
        assert seen[-1] == grpc.ChannelConnectivity.READY
        assert stub.Predict(request, timeout=30).model_spec.version.value == 123


def test_old_connections_are_renewed_without_a_failed_request(start, base_path, half_plus_two):
    server = start(
        base_path(half_plus_two),
        "model",
        grpc_channel_arguments=(("grpc.max_connection_age_ms", 200),),
    )
    with connected(server.grpc_address) as (_, stub):
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert stub.Predict(REQUEST, timeout=30).model_spec.version.value == 1
