"""The gRPC port of a server: TF Serving's services and `grpc.health`, with limits on clients."""

import concurrent.futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from tfmeta.serve import ports
from tfmeta.serve.api_key import ApiKey
from tfmeta.serve.grpc.calls import MessageWatch
from tfmeta.serve.grpc.services import ModelService, PredictionService

# Threads beyond those that predictions may hold, for health, status and refusals.
SPARE_THREADS = 8
# A port that is told to close is closed within milliseconds; a stop must end also if it is not.
CLOSING_SECONDS = 5.0
# The names that TF Serving sets (`model_servers/server.cc`), and those of the services.
HEALTH_NAMES = (
    "",
    "ModelService",
    "PredictionService",
    "tensorflow.serving.ModelService",
    "tensorflow.serving.PredictionService",
)


class GrpcServer:
    """The gRPC port of a `ModelServer`; bound when made, served from `start` on."""

    def __init__(self, models):
        options = models.options
        threads = options.max_concurrent_requests + options.max_queued_requests + SPARE_THREADS
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, "grpc")
        self._messages = MessageWatch(threads - SPARE_THREADS // 2, options.client_timeout_seconds)
        key = [ApiKey(options.api_key)] if options.api_key else []
        self._server = grpc.server(
            self._pool,
            interceptors=[*key, self._messages],
            maximum_concurrent_rpcs=threads,
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", options.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.server_handshake_timeout_ms", int(options.client_timeout_seconds * 1000)),
                # Idle clients may ping, each few seconds: else their next request fails.
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
                *options.grpc_channel_arguments,
            ],
        )
        self._health = health.HealthServicer()
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(models), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(models), self._server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self.port = self._bind(options)

    def start(self):
        """Takes requests."""
        self.set_ready(True)
        self._messages.start()
        self._server.start()

    def set_ready(self, ready):
        """What the health service answers."""
        states = health_pb2.HealthCheckResponse
        for name in HEALTH_NAMES:
            self._health.set(name, states.SERVING if ready else states.NOT_SERVING)

    def stop(self, seconds) -> bool:
        """Takes no more requests, waits for those in progress, and says whether all ended."""
        self._health.enter_graceful_shutdown()
        ended = self._server.stop(seconds).wait(seconds + CLOSING_SECONDS)
        self._messages.stop()
        self._pool.shutdown(wait=False)
        return ended

    def _bind(self, options):
        host = ports.host(options.address)
        target = f"[{host}]:{options.port}" if ":" in host else f"{host}:{options.port}"
        try:
            port = self._add(target, options)
        except RuntimeError as error:
            raise ports.refusal(options.address, options.port, "port") from error
        if options.grpc_socket_path:
            try:
                self._add(f"unix:{options.grpc_socket_path}", options)
            except RuntimeError as error:
                raise OSError(
                    "--grpc_socket_path must be a path at which a socket can be made. Received: "
                    f"{options.grpc_socket_path}. Choose another."
                ) from error
        return port

    def _add(self, target, options):
        if options.tls_key is None:
            return self._server.add_insecure_port(target)
        pairs = [(options.tls_key, options.tls_certificate)]
        return self._server.add_secure_port(target, grpc.ssl_server_credentials(pairs))
