"""uvicorn's HTTP protocol, for clients that stall, crowd, or send what nobody reads."""

import asyncio
import time

from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol

from tfmeta.serve.rest.json_text import error_body

# A connection that has been idle for longer makes room for a new one.
IDLE_SECONDS = 1.0
# What a client still sends is read for so long, unparsed: closed at once, the connection would
# be reset, and the answer lost (RFC 9112, 9.6).
LINGER_SECONDS = 2.0
# Beyond the connections allowed, so many at once are told so; more are cut off without a word.
MOST_TURNED_AWAY = 16
# In which the answer that a deadline has passed may still be written.
GRACE_SECONDS = 1.0


def impatient_protocol(seconds, most_connections, answer_seconds):
    """A class of uvicorn's HTTP protocol that ends connections which hold up others.

    uvicorn itself waits without end for the rest of a request's head, and for a client to read;
    it parses the rest of a body that has been answered; it reads a request whose length is said in
    two ways and keeps the connection; and what it says where there are too many connections is not
    the API's.

    Args:
        seconds: longest that a client may take to send a head, or may read nothing of an answer.
        most_connections: more than that are turned away, unless an idle one makes room.
        answer_seconds: longest from a request's head to the last byte of its answer.
    """
    turned_away = set()

    class ImpatientProtocol(H11Protocol):
        _head_timer = None
        _read_timer = None
        _answer_timer = None
        _idle_since = _begun = 0.0
        _held = False  # neither turned away nor cut off
        _timed = None  # the cycle that `_begun` is of

        def connection_made(self, transport):
            if len(self.connections) >= most_connections and not self._make_room():
                self._turn_away(transport)
                return
            self._held = True
            super().connection_made(_LingeringTransport(transport, self))
            self.app = self._closing(self.app)
            self._watch_head()

        def data_received(self, data):
            if not self._held or self.transport.lingers:
                return
            super().data_received(data)
            self._watch_head()
            self._watch_answer()

        def on_response_complete(self):
            super().on_response_complete()
            self._watch_head()
            self._watch_answer()

        def pause_writing(self):
            super().pause_writing()
            self._read_timer = self._later(self._read_timer)

        def resume_writing(self):
            super().resume_writing()
            self._read_timer = _cancelled(self._read_timer)

        def connection_lost(self, error):
            self._head_timer = _cancelled(self._head_timer)
            self._read_timer = _cancelled(self._read_timer)
            self._answer_timer = _cancelled(self._answer_timer)
            turned_away.discard(self)
            if self._held:
                super().connection_lost(error)

        def _unsupported_upgrade_warning(self):
            """Says nothing: that a client asked for WebSocket is no matter of the operator's."""

        @property
        def is_idle(self):
            """Whether no request is being answered."""
            return self.cycle is None or self.cycle.response_complete

        def _closing(self, app):
            """Announces the end of a connection whose request is answered before its end."""

            async def announced(scope, receive, send):
                cycle, ambiguous = self.cycle, _has_two_lengths(scope)

                async def answer(message):
                    ends = ambiguous or cycle.more_body
                    if message["type"] == "http.response.start" and ends:
                        message = {**message, "headers": [*message["headers"], CLOSE_HEADER]}
                    await send(message)

                await (_two_lengths if ambiguous else app)(scope, receive, answer)

            return announced

        def _turn_away(self, transport):
            if len(turned_away) >= MOST_TURNED_AWAY:
                transport.abort()
                return
            turned_away.add(self)
            transport.write(_FULL)
            if transport.can_write_eof():
                transport.write_eof()
            loop = asyncio.get_running_loop()
            self._head_timer = loop.call_later(LINGER_SECONDS, transport.abort)

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

        def _watch_answer(self):
            if self.cycle is None or self.cycle is self._timed:
                return
            loop = asyncio.get_running_loop()
            self._timed, self._begun = self.cycle, loop.time()
            if self._answer_timer is None:
                self._answer_timer = loop.call_later(answer_seconds, self._end_late)

        def _end_late(self):
            self._answer_timer = None
            if self.is_idle and not self.transport.get_write_buffer_size():
                return
            loop = asyncio.get_running_loop()
            left = self._begun + answer_seconds - loop.time()
            if left > 0:  # the answer under way is a later one
                self._answer_timer = loop.call_later(left, self._end_late)
            else:
                self.transport.abort()

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


def _has_two_lengths(scope):
    names = {name for name, _ in scope["headers"]}
    return b"content-length" in names and b"transfer-encoding" in names


async def _two_lengths(scope, receive, send):
    """Answers a request that a proxy may have cut elsewhere (RFC 9112, 6.1)."""
    headers = [(b"content-type", b"application/json")]
    body = error_body("A request must have Content-Length or Transfer-Encoding. Received: both.")
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _full():
    """The answer that there are too many connections, whatever is asked."""
    body = error_body("The server has no room for connections. Try again later.")
    head = (
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


_FULL = _full()
