"""The time that a call has, for all its requests and waits together."""

import time

from tfmeta_client.errors import DeadlineExceeded


class Deadline:
    """Counts down from its making.

    Args:
        seconds: that a call may take.
    """

    def __init__(self, seconds):
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds that are left.

        Raises:
            DeadlineExceeded: if none are.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.exceeded()
        return left

    def is_over(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self._end

    def exceeded(self) -> DeadlineExceeded:
        """The error of a call that took too long."""
        return DeadlineExceeded("DEADLINE_EXCEEDED", f"No answer in {self._seconds:.1f} s.")
