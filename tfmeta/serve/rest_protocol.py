"""uvicorn's HTTP protocol, for clients that stall, crowd, or send what nobody reads."""

import asyncio
import time

from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol

from tfmeta.serve.json_text import error_body

# A connection that has been idle for longer makes room for a new one.
IDLE_SECONDS = 1.0
# What a client still sends is read for so long, unparsed: closed at once, the connection would
# be reset, and the answer lost (RFC 9112, 9.6).
LINGER_SECONDS = 2.0


def impatient_protocol(seconds, most_connections):
    """A class of uvicorn's HTTP protocol that ends connections which hold up others.

    uvicorn itself waits without end for the rest of a request's head, and for a client to read;
    it parses the rest of a body that has been answered; and what it says where there are too many
    connections is not the API's.

    Args:
        seconds: longest that a client may take to send a head or to read an answer.
        most_connections: more than that are turned away, unless an idle one makes room.
    """

    class ImpatientProtocol(H11Protocol):
        _head_timer = None
        _read_timer = None
        _idle_since = 0.0

        def connection_made(self, transport):
            super().connection_made(_LingeringTransport(transport, self))
            app = self.app
            if len(self.connections) > most_connections and not self._make_room():
                app = _full
            self.app = self._closing(app)
            self._watch_head()

        def data_received(self, data):
            if self.transport.lingers:
                return
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

        @property
        def is_idle(self):
            """Whether no request is being answered."""
            return self.cycle is None or self.cycle.response_complete

        def _closing(self, app):
            """Announces the end of a connection whose request is answered before its end."""

            async def announced(scope, receive, send):
                cycle = self.cycle

                async def answer(message):
                    if message["type"] == "http.response.start" and cycle.more_body:
                        message = {**message, "headers": [*message["headers"], CLOSE_HEADER]}
                    await send(message)

                await app(scope, receive, answer)

            return announced

        def _make_room(self):
            idle = [each for each in self.connections if each.is_idle and each is not self]
            oldest = min(idle, key=lambda each: each._idle_since, default=None)
            if oldest is None or time.monotonic() - oldest._idle_since < IDLE_SECONDS:
                return False
            oldest._end()
            return True

        def _watch_head(self):
            if self.is_idle and not self.transport.is_closing():
                if self._head_timer is None:
                    self._idle_since = time.monotonic()
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


class _LingeringTransport:
    """A transport that closes an unread request's connection after a while of reading on.

    Attributes:
        lingers: whether what is received is to be dropped.
    """

    def __init__(self, transport, protocol):
        self._transport, self._protocol = transport, protocol
        self.lingers = False

    def __getattr__(self, name):
        return getattr(self._transport, name)

    def is_closing(self):
        return self.lingers or self._transport.is_closing()

    def close(self):
        cycle = self._protocol.cycle
        if self.is_closing() or cycle is None or not cycle.more_body:
            self._transport.close()
            return
        self.lingers = True
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.abort)


def _cancelled(timer):
    if timer is not None:
        timer.cancel()


async def _full(scope, receive, send):
    """Answers every request that there are too many connections."""
    headers = [(b"content-type", b"application/json"), CLOSE_HEADER]
    body = error_body("The server has no room for connections. Try again later.")
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
