"""Calls beside requests: in a thread of its own, which the others go before."""

import os
import sys
import threading

NICENESS = 3  # half a share: a loading version must get on where requests keep all processors busy


def call(function, *arguments):
    """The result of a function, called in a thread that yields the processors to other threads.

    The function must give the interpreter's lock up, as those of `c_api` that take long do: a
    thread that waits for a processor while it holds the lock would hold up all others. Where
    threads have no priority of their own (beyond Linux) it is an ordinary thread. TensorFlow starts
    its pools of threads with the priority of the first session's thread, so the first session of a
    process must not be made here.

    Args:
        function: what to call; what it raises is raised here.
        arguments: its arguments.
    """
    outcome = {}

    def run():
        _yield_processors()
        try:
            outcome["result"] = function(*arguments)
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, name="low priority", daemon=True)
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome.pop("error")
    return outcome["result"]


def _yield_processors():
    if sys.platform != "linux":
        return
    own = threading.get_native_id()
    niceness = min(os.getpriority(os.PRIO_PROCESS, own) + NICENESS, 19)
    os.setpriority(os.PRIO_PROCESS, own, niceness)  # Linux: of the thread alone
