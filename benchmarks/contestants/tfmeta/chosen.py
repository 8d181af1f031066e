"""tfmeta computing as a long run of `tfmeta.train` does: by tasks' size, or by its trial."""

import importlib
import sys
import time

from benchmarks.algorithms import Adaptation
from benchmarks.contestants.tfmeta.learners import make_network
from benchmarks.entries import Runner
from tfmeta.learners.keras_model import execution
from tfmeta.runs.choices import Execution, Trial
from tfmeta.tasks.task import unpack_tasks

_STEPS = 60_000  # of a recipe
_FIRST = Execution(False, "vectorized")
_OTHERS = (Execution(False, "sequential"), Execution(True, "vectorized"))


def build(workload) -> Runner:
    """The workload's `Runner`; which execution it takes is said on standard error."""
    module = importlib.import_module(f"benchmarks.contestants.tfmeta.{workload.algorithm.name}")
    began = time.perf_counter()
    if isinstance(workload.algorithm, Adaptation):  # as an exported graph, which has no choice
        return module.build(workload, "sequential")
    if _tasks_are_large(workload):
        print("tfmeta computes tasks sequential (they are large)", file=sys.stderr, flush=True)
        return module.build(workload, "sequential")
    runners = {_FIRST: module.build(workload, _FIRST.parallel)}
    # Steps change the weights and the answers must be those of the first ones: what is timed is
    # the meta-gradient.
    trial = Trial(_STEPS)
    trial.begin(_FIRST, runners[_FIRST].answer, time.perf_counter() - began)

    def another(tried):
        runners[tried] = module.build(workload, tried.parallel, tried.jit_compile)
        return runners[tried].answer

    for tried in _OTHERS:
        trial.add(tried, another)
    best, reason = trial.result()
    print(f"tfmeta computes tasks {best} ({reason})", file=sys.stderr, flush=True)
    return runners[best]


def _tasks_are_large(workload) -> bool:
    *x, query_y = workload.problem.batch()
    return execution.are_large(
        make_network(workload), execution.examples_of(unpack_tasks(x, query_y))
    )
