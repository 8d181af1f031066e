"""HTTP answers that are read by one clock.

The timeout of `requests` is that of each read from the socket: a server that sends a byte now and
then would hold a client for ever.
"""

import http.client
import io
import socket
import time

import requests.adapters
import urllib3
import urllib3.connection


class ClockedAdapter(requests.adapters.HTTPAdapter):
    """Connections whose timeout, where it is a total one, ends the whole answer."""

    def init_poolmanager(self, *arguments, **options):
        """As `HTTPAdapter` does."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *arguments, **options):
        """As `HTTPAdapter` does."""
        manager = super().proxy_manager_for(*arguments, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _ClockedFile(io.RawIOBase):
    """A socket's bytes, until the socket's timeout after this was made."""

    def __init__(self, connection, file):
        super().__init__()
        self._connection, self._file = connection, file
        timeout = connection.gettimeout()
        self._end = None if timeout is None else time.monotonic() + timeout

    def readable(self):
        return True

    def readinto(self, buffer):
        if self._end is not None:
            left = self._end - time.monotonic()
            if left <= 0:
                raise socket.timeout("timed out")  # noqa: UP041 (another class in Python 3.9)
            self._connection.settimeout(left)
        return self._file.readinto(buffer)

    def close(self):
        self._file.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock, *arguments, **options):
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_ClockedFile(sock, self.fp.detach()))


class _HttpConnection(urllib3.connection.HTTPConnection):
    response_class = _Response


class _HttpsConnection(urllib3.connection.HTTPSConnection):
    response_class = _Response


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


_POOLS = {"http": _HttpPool, "https": _HttpsPool}
