"""What a server serves, and its limits: safe by default."""

import dataclasses
import ipaddress
import os
import re

from tfmeta.serve.api_key import check_key
from tfmeta.serve.errors import Code, ServingError

MEBIBYTE = 2**20
METRICS_PATH = "/monitoring/prometheus/metrics"
_INT32 = 2**31 - 1  # gRPC's and TensorFlow's options
_SECONDS = 2_000_000  # gRPC counts milliseconds, in 32 bits
_THREADS = 2**15
_PATH = re.compile(r"(?!/v1(/|\Z))(/[\w.\-]+)+", re.ASCII | re.IGNORECASE)
_BOUNDS = {
    "max_concurrent_requests": (1, _THREADS),
    "max_queued_requests": (0, _THREADS),
    "max_message_bytes": (1, _INT32),
    "max_connections": (1, _INT32),
    "max_request_seconds": (0.001, _SECONDS),
    "rest_api_timeout_in_ms": (1, _INT32),
    "client_timeout_seconds": (0.001, _SECONDS),
    "shutdown_seconds": (0, _SECONDS),
    "file_system_poll_wait_seconds": (0, _SECONDS),
    "model_config_file_poll_wait_seconds": (0, _SECONDS),
    "max_num_load_retries": (0, _INT32),
    "load_retry_interval_seconds": (0, _SECONDS),
    "intra_op_parallelism": (0, _THREADS),
    "inter_op_parallelism": (0, _THREADS),
}


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A model: a name for clients and the directory of its versions.

    Attributes:
        name: what requests call it.
        base_path: directory whose children with integer names are versions.
        labels: other names of versions, `{label: version}`.
        latest: how many of the newest versions to serve; 0 for all.
        specific: versions to serve whatever is newer; empty for the newest.
    """

    name: str
    base_path: str
    labels: dict = dataclasses.field(default_factory=dict)
    latest: int = 1
    specific: tuple = ()


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """Where a server listens and what it allows. `export/SERVER.md` has the reasons.

    Attributes:
        address: network address to bind.
        port: gRPC port; 0 for a free one.
        rest_api_port: REST port; 0 for a free one, None for no REST.
        max_concurrent_requests: requests computed at once.
        max_queued_requests: requests that wait for one of those; more are refused.
        max_message_bytes: largest request, over gRPC or REST, and largest tensor of one.
        max_connections: open REST connections; more are refused.
        max_request_seconds: longest that a request may take, whatever its deadline.
        rest_api_timeout_in_ms: deadline of a REST request.
        client_timeout_seconds: how long a client may take to send a request or read an answer.
        shutdown_seconds: how long a stopping server waits for requests in progress.
        file_system_poll_wait_seconds: pause between looks at a base path; 0 for one look only.
        model_config_file_poll_wait_seconds: pause between looks at a server's `config_file`; 0 for
            none.
        allow_version_labels_for_unavailable_models: whether a new label may name a version that is
            not served yet.
        max_num_load_retries: how often a version that fails to load is tried again.
        load_retry_interval_seconds: pause before each; a changed directory is tried at once.
        enable_model_warmup: whether a version's warmup records run before it is available.
        intra_op_parallelism: threads of an operation; 0 for TensorFlow's choice.
        inter_op_parallelism: operations at once; 0 for TensorFlow's choice.
        rest_api_enable_cors_support: whether pages of other origins may call REST.
        metrics_path: where the REST port shows metrics; None for nowhere.
        grpc_socket_path: a UNIX socket that gRPC listens on too, or None.
        grpc_channel_arguments: tuple of (name, value) for the gRPC server, such as
            ("grpc.max_connection_age_ms", 2000).
        api_key: what clients must send, or None.
        tls_certificate: PEM certificate chain, or None for plain text.
        tls_key: its PEM private key.
        allow_insecure_address: binds beyond loopback without TLS and a key.
    """

    address: str = "127.0.0.1"
    port: int = 8500
    rest_api_port: int | None = 8501
    max_concurrent_requests: int = max(2, os.cpu_count() or 2)
    max_queued_requests: int = 64
    max_message_bytes: int = 32 * MEBIBYTE
    max_connections: int = 256
    max_request_seconds: float = 120.0
    rest_api_timeout_in_ms: int = 30_000
    client_timeout_seconds: float = 20.0
    shutdown_seconds: float = 30.0
    file_system_poll_wait_seconds: float = 1.0
    model_config_file_poll_wait_seconds: float = 0.0
    allow_version_labels_for_unavailable_models: bool = False
    max_num_load_retries: int = 5
    load_retry_interval_seconds: float = 60.0
    enable_model_warmup: bool = True
    intra_op_parallelism: int = 1
    inter_op_parallelism: int = 0
    rest_api_enable_cors_support: bool = False
    metrics_path: str | None = METRICS_PATH
    grpc_socket_path: str | None = None
    grpc_channel_arguments: tuple = ()
    api_key: str | None = None
    tls_certificate: bytes | None = None
    tls_key: bytes | None = None
    allow_insecure_address: bool = False

    def __post_init__(self):
        for name, (least, most) in _BOUNDS.items():
            if not least <= getattr(self, name) <= most:  # nor is NaN
                raise ValueError(
                    f"{name} must be at least {least} and at most {most}. Received: "
                    f"{getattr(self, name)}. Leave it out for the default."
                )
        if self.api_key is not None:
            check_key(self.api_key)
        if self.metrics_path is not None and not _PATH.fullmatch(self.metrics_path):
            raise ValueError(
                "metrics_path must be a path of letters, digits, '/', '.', '_', '-', outside of "
                f"/v1/. Received: {self.metrics_path!r}. Leave it out for {METRICS_PATH}."
            )
        for name in ("port", "rest_api_port"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 2**16:
                raise ValueError(
                    f"{name} must be a port below 65536, or 0 for a free one. Received: {value}."
                )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError(
                "TLS needs a certificate and its key. Received: one of them. Give both files."
            )
        self._check_address()

    def _check_address(self):
        safe = self.api_key and self.tls_key
        if is_loopback(self.address) or safe or self.allow_insecure_address:
            return
        raise ValueError(
            "An address beyond loopback needs TLS and an API key, since anyone who reaches it may "
            f"use the models and read what others send. Received: address {self.address!r} with "
            f"{'TLS' if self.tls_key else 'no TLS'} and "
            f"{'an API key' if self.api_key else 'no API key'}. Give --tls_certificate_file, "
            "--tls_key_file and --api_key_file, or --allow_insecure_address in a network that "
            "only you reach."
        )


def is_loopback(address) -> bool:
    """Whether only this machine reaches an address.

    Example:

        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def shutting_down() -> ServingError:
    """What a request gets from a server that is stopping."""
    return ServingError(Code.UNAVAILABLE, "The server is shutting down.")
