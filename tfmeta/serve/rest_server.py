"""The REST port: uvicorn in a thread, with limits on clients that send or read slowly."""

import asyncio
import functools
import os
import socket
import tempfile
import threading

import uvicorn

from tfmeta.serve.configuration import ServerOptions
from tfmeta.serve.rest_protocol import impatient_protocol


class RestServer:
    """The REST port of a server; bound when made, served from `start` on.

    Args:
        app: ASGI application.
        options: `ServerOptions`.

    Attributes:
        port: the port.
    """

    def __init__(self, app, options: ServerOptions):
        self._socket = _bind(options)
        self.port = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            http=impatient_protocol(options.client_timeout_seconds, options.max_connections),
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
        self._socket.listen(self._server.config.backlog)  # who comes before uvicorn runs waits
        self._thread.start()

    def stop(self, wait=True):
        """Takes no more requests, and waits for those in progress unless told not to."""
        self._server.should_exit = True
        self._server.force_exit = not wait
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def _run(self):
        with asyncio.Runner(loop_factory=self._loop) as runner:
            runner.run(self._server.serve([self._socket]))


def _bind(options):
    family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
    # asyncio turns Nagle's delay off only where the protocol is named.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((options.address, options.rest_api_port))
    except OSError as error:
        bound.close()
        raise OSError(
            f"The REST port must be free. Received: {options.address}:{options.rest_api_port}, "
            f"which cannot be bound ({error.strerror}). Give another --rest_api_port, or 0 for a "
            "free one."
        ) from error
    return bound


def _load_tls(config, options):
    """Gives uvicorn the certificate, which it reads from files only."""
    with tempfile.TemporaryDirectory() as folder:  # of mode 0700
        for name, text in (("certificate", options.tls_certificate), ("key", options.tls_key)):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(text)
        config.ssl_certfile = os.path.join(folder, "certificate")
        config.ssl_keyfile = os.path.join(folder, "key")
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
