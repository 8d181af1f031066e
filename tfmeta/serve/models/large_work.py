"""Large things in memory: bodies and graphs, kept off the garbage collector, and given back."""

import ctypes
import gc

from tfmeta.serve.errors import ServingError

LARGE_BYTES = 4 * 2**20


def release_memory():
    """Gives what the allocator keeps back to the system, where the C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def keep_for_long():
    """Takes what is in memory out of the garbage collector's sight, until `collect_all`.

    TensorFlow's modules are hundreds of thousands of objects: to look at all of them, as the
    collector does now and then while JSON comes and goes, takes 0.2 s, in which no request is
    answered. A version that is loaded later adds few objects and no cycles.
    """
    gc.collect()
    gc.freeze()


def collect_all():
    """Frees everything that nothing holds, what was kept for long too."""
    gc.unfreeze()
    gc.collect()
    release_memory()


def on_large(size, work):
    """What a function gives that makes millions of objects from a body, and drops them.

    Such a body's lists make the collector run over all objects again and again, which takes
    longer than reading them; there are no cycles to find in them. Where the memory was not given
    back at once, it would stay with the process until other requests come.

    Args:
        size: bytes of the body; small ones are worked on as they are.
        work: function without arguments.
    """
    if size < LARGE_BYTES:
        return work()
    collected = gc.isenabled()
    gc.disable()
    try:
        result, failure = work(), None
    except ServingError as error:
        result, failure = None, error.alone()
    finally:
        if collected:
            gc.enable()
    release_memory()
    if failure:
        raise failure
    return result
