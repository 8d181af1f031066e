"""SIGTERM and SIGINT: finish the step, save, leave."""

import contextlib
import signal
from collections.abc import Iterator


class StopRequest:
    """Whether somebody asked the run to end, and by which signal.

    Attributes:
        signal: what this process got, or has agreed on with the other workers.
        agreed: whether all workers know of it, and end at this step.
    """

    def __init__(self):
        self.signal: signal.Signals | None = None
        self.agreed = False

    def __bool__(self) -> bool:
        return self.signal is not None

    def agree(self, number: int) -> None:
        """Takes the signal that the workers agreed on; 0: none of them had one."""
        if number:
            self.signal, self.agreed = signal.Signals(number), True

    @property
    def exit_code(self) -> int:
        """0 after SIGTERM, which asked for an orderly end; 130 after Ctrl-C, as shells have it."""
        return 130 if self.signal == signal.SIGINT else 0


class Stopped(Exception):
    """Raised to leave work that a later call does again."""


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Notes the first SIGTERM or SIGINT; the second ends the process as usual."""
    request = StopRequest()
    before = {}

    def note(number, frame):
        request.signal = signal.Signals(number)
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
