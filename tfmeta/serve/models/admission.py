"""Who may compute: a bounded number of requests at once, a bounded queue, and no more."""

import collections
import contextlib
import threading
import time

from tfmeta.serve.configuration import shutting_down
from tfmeta.serve.errors import Code, ServingError


class Admission:
    """A gate in front of the model.

    Args:
        concurrent: requests computed at once.
        queued: requests that may wait, served in order of arrival.
    """

    def __init__(self, concurrent, queued):
        self._concurrent, self._queued = concurrent, queued
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._waiting = collections.deque()
        self._running = 0
        self._closed = False

    @property
    def running(self) -> int:
        """Requests being computed."""
        return self._running

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @contextlib.contextmanager
    def slot(self, deadline):
        """Holds a place among those computed, for the length of a `with`.

        Args:
            deadline: `time.monotonic()` at which waiting ends.

        Raises:
            ServingError: RESOURCE_EXHAUSTED if the queue is full, DEADLINE_EXCEEDED if the place
                came too late, UNAVAILABLE if the gate is closed.
        """
        self._enter(deadline)
        try:
            yield
        finally:
            self._leave()

    def close(self, timeout) -> bool:
        """Refuses who comes from now on; True once nobody is left, False after `timeout`."""
        end = time.monotonic() + timeout
        with self._lock:
            self._closed = True
            while self._running or self._waiting:
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._idle.wait(left)
        return True

    def _enter(self, deadline):
        with self._lock:
            if self._closed:
                raise shutting_down()
            if self._running < self._concurrent and not self._waiting:
                self._running += 1
                return
            if len(self._waiting) >= self._queued:
                raise ServingError(
                    Code.RESOURCE_EXHAUSTED,
                    f"The server computes {self._concurrent} requests and {self._queued} wait. "
                    "Try again later, with growing pauses.",
                )
            turn = threading.Event()
            self._waiting.append(turn)
        came = False
        try:
            came = turn.wait(deadline - time.monotonic())
        finally:  # also where a wait cannot be: who is not there must not get a place later
            if not came:
                self._give_up(turn)
        if came:
            return
        raise ServingError(Code.DEADLINE_EXCEEDED, "Deadline exceeded in the server's queue.")

    def _give_up(self, turn):
        with self._lock:
            if turn.is_set():  # the place came while the wait was given up
                self._pass_on()
            else:
                self._waiting.remove(turn)
                self._idle.notify_all()

    def _leave(self):
        with self._lock:
            self._pass_on()

    def _pass_on(self):
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._running -= 1
        self._idle.notify_all()
