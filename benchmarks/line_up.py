"""Flags and functions that start the contestants of a workload, each in its interpreter."""

import sys

from absl import app, flags

from benchmarks import turns
from benchmarks.entries import CONTESTANTS, PROCESSES
from benchmarks.workloads import WORKLOADS

_CONTESTANTS = flags.DEFINE_list(
    "contestants", list(CONTESTANTS), f"Of {', '.join(PROCESSES)}; the first is 1."
)
THREADS = flags.DEFINE_integer("threads", 2, "Of each contestant.", 1)
_TORCH_PYTHON = flags.DEFINE_string("torch_python", sys.executable, "Interpreter that has torch.")
_JAX_PYTHON = flags.DEFINE_string("jax_python", None, "One that has jax; None: --torch_python.")
_WORKLOADS = flags.DEFINE_list(
    "workload", ["omniglot_5way_1shot"], f"all, or of {', '.join(WORKLOADS)}."
)


def workload_names() -> list[str]:
    """Those of --workload."""
    if _WORKLOADS.value == ["all"]:
        return list(WORKLOADS)
    for name in _WORKLOADS.value:
        if name not in WORKLOADS:
            raise app.UsageError(
                f"--workload must be all, or of {', '.join(WORKLOADS)}. Received: {name!r}."
            )
    return _WORKLOADS.value


def contestant_names(workload_name) -> list[str]:
    """Those of --contestants that take part in a workload."""
    for name in _CONTESTANTS.value:
        if name not in PROCESSES:
            raise app.UsageError(
                f"--contestants must be of {', '.join(PROCESSES)}. Received: {name!r}."
            )
    workload = WORKLOADS[workload_name]
    return [name for name in _CONTESTANTS.value if PROCESSES[name].takes_part(workload)]


def start(name, workload_name, changes=None) -> turns.Process:
    """A contestant's process; it is not built yet."""
    interpreters = {
        "tensorflow": sys.executable,
        "torch": _TORCH_PYTHON.value,
        "jax": _JAX_PYTHON.value or _TORCH_PYTHON.value,
    }
    interpreter = interpreters[PROCESSES[name].interpreter]
    return turns.Process(name, workload_name, interpreter, THREADS.value, changes)
