"""Ports to listen on, and in words why one cannot be had."""

import errno
import socket

_FOREIGN = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def host(address) -> str:
    """The one network address that is bound.

    localhost may stand for several, and gRPC is content with those of them that are free: a
    server would start beside another, on the same port.
    """
    return "127.0.0.1" if address == "localhost" else address


def listen(address, port, flag) -> socket.socket:
    """A socket that holds a port from now on; who connects waits until it is served.

    Args:
        address: to bind.
        port: 0 for a free one.
        flag: that names the port, for errors.

    Raises:
        OSError: if it cannot be had.
    """
    # Bound only, another process could still take the port.
    bound = _bound(address, port, flag)
    try:
        bound.listen()
    except OSError as error:
        bound.close()
        raise _in_words(error, address, port, flag) from error
    return bound


def refusal(address, port, flag) -> OSError:
    """The error of a port that could not be bound elsewhere, which did not say why."""
    try:
        _bound(address, port, flag).close()
    except OSError as error:
        return error
    return _in_words(OSError(errno.EADDRINUSE, "in use"), address, port, flag)


def _bound(address, port, flag):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # asyncio turns Nagle's delay off only where the protocol is named.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host(address), port))
    except OSError as error:
        bound.close()
        raise _in_words(error, address, port, flag) from error
    return bound


def _in_words(error, address, port, flag):
    if isinstance(error, socket.gaierror) or error.errno in _FOREIGN:
        return OSError(
            f"--address must be one of this machine. Received: {address!r} ({error.strerror}). "
            "Give 127.0.0.1, or 0.0.0.0 for all of its addresses."
        )
    name = "gRPC" if flag == "port" else "REST"
    return OSError(
        f"The {name} port must be free. Received: {address}:{port}, which cannot be bound "
        f"({error.strerror}). Give another --{flag}, or 0 for a free one."
    )
