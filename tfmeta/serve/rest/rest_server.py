"""The REST port: uvicorn in a thread, with limits on clients that send or read slowly."""

import asyncio
import functools
import threading

import uvicorn

from tfmeta.serve import ports, tls
from tfmeta.serve.configuration import ServerOptions
from tfmeta.serve.rest.protocol import GRACE_SECONDS, impatient_protocol

# An event loop looks every tenth of a second whether it is to end.
CLOSING_SECONDS = 5.0


class RestServer:
    """The REST port of a server; taken when made, served from `start` on.

    Args:
        app: ASGI application.
        options: `ServerOptions`.

    Attributes:
        port: the port.
    """

    def __init__(self, app, options: ServerOptions):
        self._socket = ports.listen(options.address, options.rest_api_port, "rest_api_port")
        self.port = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            http=impatient_protocol(
                options.client_timeout_seconds,
                options.max_connections,
                options.rest_api_timeout_in_ms / 1000 + GRACE_SECONDS,
            ),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=int(max(1, options.client_timeout_seconds)),
            timeout_graceful_shutdown=int(max(1, options.shutdown_seconds)),
            h11_max_incomplete_event_size=64 * 1024,
        )
        if options.tls_key is not None:
            _load_tls(config, options)
        self._server = uvicorn.Server(config)
        self._loop = functools.partial(_Loop, options.client_timeout_seconds)
        self._thread = threading.Thread(target=self._run, name="rest", daemon=True)

    def start(self):
        """Takes requests."""
        self._thread.start()

    def stop(self, wait=True) -> bool:
        """Takes no more requests, and waits for those in progress unless told not to.

        Returns:
            Whether its thread ended; where it is not to wait it gets `CLOSING_SECONDS`.
        """
        self._server.should_exit = True
        self._server.force_exit = not wait
        if self._thread.is_alive():
            self._thread.join(None if wait else CLOSING_SECONDS)
        self._socket.close()
        return not self._thread.is_alive()

    def _run(self):
        with asyncio.Runner(loop_factory=self._loop) as runner:
            runner.run(self._server.serve([self._socket]))


def _load_tls(config, options):
    """Gives uvicorn the certificate, which it reads from files only."""
    with tls.files(options.tls_certificate, options.tls_key) as paths:
        config.ssl_certfile, config.ssl_keyfile = paths
        config.load()


class _Loop(asyncio.SelectorEventLoop):
    """An event loop whose servers do not wait long for a TLS handshake; asyncio waits a minute."""

    def __init__(self, seconds):
        super().__init__()
        self._seconds = seconds

    async def create_server(self, *arguments, ssl=None, **options):
        """As asyncio's."""
        if ssl is not None:
            options["ssl_handshake_timeout"] = self._seconds
        return await super().create_server(*arguments, ssl=ssl, **options)
