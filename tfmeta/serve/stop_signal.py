"""SIGTERM and SIGINT as something to wait for."""

import contextlib
import signal
import socket


class StopSignal:
    """Catches SIGTERM and SIGINT from when it is made; the second one ends the process at once.

    Python runs a handler between two steps of the main thread, so that a handler that takes a lock
    (`threading.Event.set`) may wait for the very step that it interrupted, and one that comes just
    before the main thread sleeps on a lock is not run until that wakes. A byte in a socket is
    written by the C handler itself and cannot be missed.
    """

    def __init__(self):
        self._received, self._sent = socket.socketpair()
        self._sent.setblocking(False)
        signal.set_wakeup_fd(self._sent.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._caught)

    def wait(self):
        """Returns once a signal has come."""
        self._received.recv(1)

    def _caught(self, number, frame):
        with contextlib.suppress(BlockingIOError):
            self._sent.send(b"\0")  # also where another file is told of signals (`Interrupts`)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
