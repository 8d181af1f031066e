"""Bodies of REST requests: read within limits of size, time and what all of them hold."""

import asyncio
import contextlib
import zlib

from tfmeta.serve.errors import Code, ServingError, too_large

# All bodies together may hold so many of the largest...
LARGEST_AT_ONCE = 4
# ...beyond what each holds for nothing, so that large ones do not lock out the small.
FREE_BYTES = 64 * 1024
# A file of gzip is any number of members (RFC 1952, 2.2); empty ones of a few bytes are work.
_MOST_MEMBERS = 1000
_PIECE_BYTES = 64 * 1024
_GZIP = 31  # zlib: a window of 32 KiB, behind gzip's header


class Bodies:
    """What the bodies of all requests in progress hold. For one event loop.

    Args:
        most_bytes: largest body.
        seconds: longest that a body may take to arrive.
    """

    def __init__(self, most_bytes, seconds):
        self._most, self._seconds = most_bytes, seconds
        self._held = 0

    @contextlib.asynccontextmanager
    async def body(self, request):
        """Gives a request's body, which counts as held for the length of an `async with`.

        Raises:
            ServingError: INVALID_ARGUMENT (413) if it is too large, RESOURCE_EXHAUSTED if there
                is no room for it now, DEADLINE_EXCEEDED if it comes too slowly.
        """
        chunks = []
        try:
            await self._receive(request, chunks)
            yield b"".join(chunks)
        finally:
            self._held -= _counted(sum(map(len, chunks)))

    async def _receive(self, request, chunks):
        size = 0
        self._check(_declared(request), size)
        try:
            async with asyncio.timeout(self._seconds):
                async for chunk in request.stream():
                    self._check(size + len(chunk), size)
                    self._held += _counted(size + len(chunk)) - _counted(size)
                    size += len(chunk)
                    chunks.append(chunk)
        except TimeoutError:
            raise ServingError(
                Code.DEADLINE_EXCEEDED,
                f"The request's body did not arrive within {self._seconds} seconds.",
            ) from None

    def _check(self, size, held):
        if size > self._most:
            raise too_large(_too_large_text(self._most))
        more = _counted(size) - _counted(held)
        if more and self._held + more > LARGEST_AT_ONCE * self._most:
            raise ServingError(
                Code.RESOURCE_EXHAUSTED,
                f"The server holds {self._held} bytes of requests. Try again later, with growing "
                "pauses.",
            )


def unpacked(body, most_bytes) -> bytes:
    """What a gzip body holds, all its members; nothing where it is not one, as in TF Serving.

    It unpacks by default (`auto_uncompress_input_` of its `httpserver_interface.h`), and goes on
    with an empty body where that fails (`evhttp_request.cc:261`). What follows the last member and
    does not begin like one is left unread.

    Args:
        body: bytes of gzip.
        most_bytes: most that it may hold.

    Raises:
        ServingError: INVALID_ARGUMENT (413) if it holds more than `most_bytes`.
    """
    texts, start = [], 0
    for _ in range(_MOST_MEMBERS):
        text, start = _member(body, start, most_bytes - sum(map(len, texts)))
        if text is None:
            raise too_large(_too_large_text(most_bytes))
        if start is None:
            return b""
        texts.append(text)
        if body[start : start + 2] != b"\x1f\x8b":
            return b"".join(texts)
    return b""


def _member(body, start, most_bytes):
    """(text, end) of the member of gzip that begins at a byte.

    No text where it is larger than `most_bytes`, no end where it is not whole.
    """
    unpacker, parts, length = zlib.decompressobj(_GZIP), [], 0
    while not unpacker.eof and start < len(body):
        piece = body[start : start + _PIECE_BYTES]
        try:
            parts.append(unpacker.decompress(piece, most_bytes - length + 1))
        except zlib.error:
            return b"", None
        length += len(parts[-1])
        if length > most_bytes:
            return None, None
        start += len(piece) - len(unpacker.unused_data)
    return b"".join(parts), start if unpacker.eof else None


def _counted(size):
    return max(0, size - FREE_BYTES)


def _declared(request):
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdigit() else 0  # h11 refuses what has many digits


def _too_large_text(most_bytes):
    return (
        f"A request must be at most {most_bytes} bytes. Send less in one request, or start the "
        "server with a higher --max_message_bytes."
    )
