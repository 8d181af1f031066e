"""SIGTERM and SIGINT: finish the step, save, leave."""

import contextlib
import signal
from collections.abc import Iterator

from tfmeta.process.interrupts import Interrupts

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether somebody asked the run to end, and by which signal.

    Attributes:
        signal: what this process got, or has agreed on with the other workers.
        agreed: whether all workers know of it, and end at this step.
    """

    def __init__(self):
        self._interrupts = Interrupts()
        self.signal: signal.Signals | None = None
        self.agreed = False
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}

    def __bool__(self) -> bool:
        return self.signal is not None

    def now(self, doing: str, then: str) -> None:
        """Notes what the run does, and what a signal leads to: what the first one is answered."""
        self._interrupts.doing, self._interrupts.then = doing, then

    def listen(self) -> None:
        """Takes the signals; called again after a library took one for itself.

        (TensorFlow's coordination service takes SIGTERM when several workers start.)
        """
        for number in _SIGNALS:
            signal.signal(number, self._note)

    def leave(self) -> None:
        """Gives the signals back to who had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame) -> None:
        self.signal = signal.Signals(number)
        self.leave()

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


def leave_if(stop: StopRequest | None) -> None:
    """Ends the work under way where a stop was asked for.

    Raises:
        Stopped: if a stop was asked for.
    """
    if stop:
        raise Stopped


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Notes the first SIGTERM or SIGINT, and says so at once; the second ends the process."""
    request = StopRequest()
    request.listen()
    try:
        with request._interrupts:
            yield request
    finally:
        request.leave()
