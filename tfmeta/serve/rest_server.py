"""The REST port: uvicorn in a thread, with limits on clients that send or read slowly."""

import asyncio
import os
import socket
import tempfile
import threading

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tfmeta.serve.configuration import ServerOptions


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
            http=_impatient(options.client_timeout_seconds),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=options.max_connections,
            timeout_keep_alive=int(max(1, options.client_timeout_seconds)),
            timeout_graceful_shutdown=int(max(1, options.shutdown_seconds)),
            h11_max_incomplete_event_size=64 * 1024,
        )
        if options.tls_key is not None:
            _load_tls(config, options)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="rest", daemon=True
        )

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


def _impatient(seconds):
    """A class of uvicorn's HTTP protocol that ends connections of clients that stall.

    uvicorn itself waits without end for the rest of a request's head, and for a client to read.
    """

    class ImpatientProtocol(H11Protocol):
        _head_timer = None
        _read_timer = None

        def connection_made(self, transport):
            super().connection_made(transport)
            self._watch_head()

        def data_received(self, data):
            super().data_received(data)
            self._watch_head()

        def on_response_complete(self):
            super().on_response_complete()
            self._watch_head()

        def pause_writing(self):
            super().pause_writing()
            self._read_timer = self._later(self._read_timer)

        def resume_writing(self):
            super().resume_writing()
            self._read_timer = _cancelled(self._read_timer)

        def connection_lost(self, error):
            self._head_timer = _cancelled(self._head_timer)
            self._read_timer = _cancelled(self._read_timer)
            super().connection_lost(error)

        def _watch_head(self):
            waits = self.cycle is None or self.cycle.response_complete
            if waits and not self.transport.is_closing():
                self._head_timer = self._later(self._head_timer)
            else:
                self._head_timer = _cancelled(self._head_timer)

        def _later(self, timer):
            return timer or asyncio.get_running_loop().call_later(seconds, self._end)

        def _end(self):
            if self.transport.get_write_buffer_size():
                self.transport.abort()  # what is left would wait for the client to read
            else:
                self.transport.close()

    return ImpatientProtocol


def _cancelled(timer):
    if timer is not None:
        timer.cancel()
