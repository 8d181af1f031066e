"""Clients of `serving_load`, for Locust: each sends its next request when the last is answered.

    MESSAGES=FOLDER [REQUESTS=N] python -m locust -f benchmarks/serving_users.py GrpcUser \
        --headless --host=ADDRESS --users=4 --run-time=20s --json

MESSAGES is a folder of ready requests, sent in turn; after REQUESTS of them, where given, all stop.
Locust's statistics have a line for each way in which a request ended: its code or HTTP status.
"""

import itertools
import os
import pathlib
import time

import gevent
import grpc
import grpc.experimental.gevent
import locust

GRPC_METHOD = "/tensorflow.serving.PredictionService/Predict"
REST_PATH = "/v1/models/glyphs:predict"

grpc.experimental.gevent.init_gevent()
_MESSAGES = [path.read_bytes() for path in sorted(pathlib.Path(os.environ["MESSAGES"]).iterdir())]
_REQUESTS = int(os.environ.get("REQUESTS", 0))
_TURNS = iter(range(_REQUESTS)) if _REQUESTS else itertools.count()


@locust.events.test_start.add_listener
def watch_for_the_end(environment, **_):
    """Ends the run when all users have left."""

    def wait():
        while environment.runner.user_count == 0:
            gevent.sleep(0.1)
        while environment.runner.user_count > 0:
            gevent.sleep(0.1)
        environment.runner.quit()

    if _REQUESTS:
        gevent.spawn(wait)


def next_message():
    """The message whose turn it is; a user for whom none is left leaves."""
    turn = next(_TURNS, None)
    if turn is None:
        raise locust.exception.StopUser
    return _MESSAGES[turn % len(_MESSAGES)]


class GrpcUser(locust.User):
    """A client of the gRPC port; messages are serialised PredictRequests."""

    def on_start(self):
        """Opens a connection of its own."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.insecure_channel(self.host, options)
        self._call = self._channel.unary_unary(GRPC_METHOD)

    def on_stop(self):
        """Closes the connection."""
        self._channel.close()

    @locust.task
    def predict(self):
        """Sends one request."""
        message, code, began = next_message(), "OK", time.perf_counter()
        try:
            self._call(message, timeout=60)
        except grpc.RpcError as error:
            code = error.code().name
        self.environment.events.request.fire(
            request_type="gRPC",
            name=code,
            response_time=(time.perf_counter() - began) * 1e3,
            response_length=0,
            exception=None,
            context={},
        )


class RestUser(locust.FastHttpUser):
    """A client of the REST port; messages are JSON bodies."""

    @locust.task
    def predict(self):
        """Sends one request."""
        with self.client.post(REST_PATH, data=next_message(), catch_response=True) as response:
            response.request_meta["name"] = str(response.status_code)
            response.success()
