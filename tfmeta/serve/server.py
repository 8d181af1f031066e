"""A server: models behind a gRPC port and a REST port, from start to graceful stop."""

import os

from tfmeta.serve import logs, tls
from tfmeta.serve.config_watch import ConfigWatch
from tfmeta.serve.configuration import ModelConfig, ServerOptions
from tfmeta.serve.grpc.grpc_server import GrpcServer
from tfmeta.serve.models.model_server import ModelServer
from tfmeta.serve.rest.app import create_app
from tfmeta.serve.rest.rest_server import RestServer


class Server:
    """Models served over gRPC and REST; a context that starts and stops.

    Args:
        models: list of `ModelConfig`.
        options: `ServerOptions`.
        routes: more Starlette routes for the REST port, e.g. a page.
        config_file: the `models.config` that `models` were read from; it is read again every
            `options.model_config_file_poll_wait_seconds`, and None or 0 is never.

    Attributes:
        models: `ModelServer`.
        grpc_address: "host:port".
        rest_url: "http://host:port", or None without REST.
    """

    def __init__(self, models, options=None, routes=(), config_file=None):
        options = options or ServerOptions()
        if options.tls_key is not None:
            tls.check(options.tls_certificate, options.tls_key)
        self._started = False
        self.models = ModelServer(models, options)
        self._config_watch = None
        if config_file is not None and options.model_config_file_poll_wait_seconds:
            self._config_watch = ConfigWatch(
                config_file,
                options.model_config_file_poll_wait_seconds,
                self.models.replace_models,
            )
        self._grpc = GrpcServer(self.models)
        self._rest = None
        if options.rest_api_port is not None:
            try:
                self._rest = RestServer(create_app(self.models, routes=routes), options)
            except BaseException:
                self._grpc.stop(0)
                raise
        host = f"[{options.address}]" if ":" in options.address else options.address
        self.grpc_address = f"{host}:{self._grpc.port}"
        scheme = "https" if options.tls_key else "http"
        self.rest_url = f"{scheme}://{host}:{self._rest.port}" if self._rest else None

    @property
    def grpc_port(self) -> int:
        """The gRPC port."""
        return self._grpc.port

    @property
    def rest_port(self) -> int | None:
        """The REST port, or None."""
        return self._rest.port if self._rest else None

    def __enter__(self):
        return self if self._started else self.start()

    def __exit__(self, *exception):
        self.stop()

    def start(self):
        """Loads the models, then takes requests.

        Returns:
            This server.

        Raises:
            ServingError: if a model cannot be loaded; the ports are free again.
        """
        try:
            self.models.start()
        except BaseException:
            self.stop()
            raise
        self._started = True
        self._grpc.start()
        if self._rest:
            self._rest.start()
        if self._config_watch:
            self._config_watch.start()
        logs.info("ready", grpc=self.grpc_address, rest=self.rest_url, models=self.models.names)
        return self

    def stop(self) -> bool:
        """Refuses new requests, answers those in progress, frees the models.

        Returns:
            Whether all requests were answered within `shutdown_seconds` and both ports closed;
            where not, threads may be left that only the end of the process ends.
        """
        logs.info("stopping")
        if self._config_watch:
            self._config_watch.stop()
        self._grpc.set_ready(False)
        drained = self.models.stop()
        closed = self._grpc.stop(1 if drained else 0)
        if self._rest:
            closed = self._rest.stop(wait=drained) and closed
        logs.info("stopped", drained=drained, closed=closed)
        return drained and closed


def start(model_base_path, model_name="default", *, routes=(), **options) -> Server:
    """Starts a server of one model on free ports of this machine.

    Example:

        with tfmeta.serve.start("exported/sinusoid", "sinusoid") as server:
            channel = grpc.insecure_channel(server.grpc_address)

    Args:
        model_base_path: directory of versions.
        model_name: what requests call the model.
        routes: more Starlette routes for the REST port.
        **options: fields of `ServerOptions`; ports are free ones unless given.

    Raises:
        ServingError: if the model cannot be loaded.
    """
    options = ServerOptions(**{"port": 0, "rest_api_port": 0, **options})
    model = ModelConfig(model_name, os.fspath(model_base_path))
    return Server([model], options, routes).start()
