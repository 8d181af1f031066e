"""Signals are answered in words at once, whatever the main thread is busy with.

Python runs a signal's handler between two of its own steps, so a compilation or a long operation
in C++ delays it. The signal's number is written to a pipe at once, and a thread reads it there.
"""

import os
import signal
import sys
import threading

_ANSWERED = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """A context in which the first SIGINT or SIGTERM is answered on standard error.

    The handlers of the signals are left as they are. A second signal ends the process, since the
    first one's handler may still wait for an operation to end.

    Args:
        doing: what the process does, as "training"; may be set again later.
        then: what the first signal leads to.

    Attributes:
        doing: as above.
        then: as above.
    """

    def __init__(self, doing: str = "starting", then: str = "this ends as soon as it can"):
        self.doing, self.then = doing, then

    def __enter__(self):
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        signal.set_wakeup_fd(self._before)
        os.close(self._writing)
        self._thread.join()
        os.close(self._reading)

    def _answer(self):
        answered = False
        while number := os.read(self._reading, 1):
            if number[0] not in _ANSWERED:
                continue
            name = signal.Signals(number[0]).name
            if answered:
                print(f"{name} again: ended at once.", file=sys.stderr, flush=True)
                os._exit(128 + number[0])
            answered = True
            print(
                f"{name} while {self.doing}: {self.then}. Once more ends it at once.",
                file=sys.stderr,
                flush=True,
            )
