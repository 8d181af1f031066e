"""Work beside requests: in a thread of its own, which the others go before."""

import os
import sys
import threading

NICENESS = 10


def at_low_priority(work):
    """The result of a function, run in a thread that yields the processors to other threads.

    Where threads have no priority of their own (beyond Linux) it is an ordinary thread. TensorFlow
    starts its pools of threads with the priority of the first session's thread, so the first
    session of a process must not be made here.

    Args:
        work: zero-argument function; what it raises is raised here.
    """
    outcome = {}

    def run():
        yield_processors()
        try:
            outcome["result"] = work()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, name="low priority", daemon=True)
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome.pop("error")
    return outcome["result"]


def yield_processors():
    """Lets other threads go before the calling one, until it ends."""
    if sys.platform != "linux":
        return
    own = threading.get_native_id()
    niceness = min(os.getpriority(os.PRIO_PROCESS, own) + NICENESS, 19)
    os.setpriority(os.PRIO_PROCESS, own, niceness)  # Linux: of the thread alone
