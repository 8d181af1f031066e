"""Who takes part in the benchmark of the meta-step: one line registers each."""

import importlib
from collections.abc import Callable
from typing import NamedTuple

ALGORITHMS = ("maml", "reptile", "imaml", "adaptation")


class Runner(NamedTuple):
    """What a contestant's function of a `Workload` returns.

    Attributes:
        answer: function of nothing to (loss, list of arrays): the meta-gradient at the workload's
            weights, in their order and layout, and the loss that it is of; for adaptation None
            and the query outputs [T, Q, ...]. Called before any step. None where there is
            nothing to compare.
        step: function of nothing to a number: a meta-step (for adaptation: all answers to the
            queries), finished when it returns.
    """

    answer: Callable | None
    step: Callable


class Contestant(NamedTuple):
    """A way to compute the meta-step.

    Attributes:
        module: under `benchmarks.contestants`, one an algorithm where {algorithm} is in its name;
            imported only in the contestant's own process.
        function: its name there: of a `Workload` and the options to a `Runner`.
        interpreter: "tensorflow", "torch" or "jax": which interpreter runs it.
        algorithms: that it takes part in.
        options: keyword arguments of the function.
        first_order: whether it takes part in first-order MAML.
    """

    module: str
    function: str
    interpreter: str
    algorithms: tuple = ALGORITHMS
    options: dict = {}  # noqa: RUF012  (never written to)
    first_order: bool = True

    def takes_part(self, workload) -> bool:
        if getattr(workload.algorithm, "first_order", False) and not self.first_order:
            return False
        return workload.algorithm.name in self.algorithms

    def module_of(self, algorithm: str) -> str:
        return f"benchmarks.contestants.{self.module.format(algorithm=algorithm)}"

    def runner(self, workload) -> Runner:
        module = importlib.import_module(self.module_of(workload.algorithm.name))
        return getattr(module, self.function)(workload, **self.options)


# The first is what the others are compared with.
CONTESTANTS = {
    "pytorch_loop": Contestant("pytorch.{algorithm}", "loop", "torch"),
    "torch_func_vmap": Contestant("pytorch.{algorithm}", "vmapped", "torch"),
    "torchopt": Contestant("pytorch.torchopt_maml", "loop", "torch", ("maml",), first_order=False),
    "higher": Contestant("pytorch.higher_maml", "loop", "torch", ("maml",)),
    "jax_vmap": Contestant("jax.{algorithm}", "vmapped", "jax"),
    "jax_lax_map": Contestant("jax.{algorithm}", "one_by_one", "jax"),
    "stock_vectorized_map": Contestant(
        "stock_tensorflow", "vectorized_map", "tensorflow", ("maml",)
    ),
    "stock_map_fn": Contestant("stock_tensorflow", "map_fn", "tensorflow", ("maml",)),
    "tfmeta": Contestant("tfmeta.chosen", "build", "tensorflow"),
}

# tfmeta with each setting that a run may choose, to judge the choice by.
SETTINGS = {
    f"tfmeta_{name}": Contestant("tfmeta.{algorithm}", "build", "tensorflow", options=options)
    for name, options in {
        "vectorized": {"parallel": "vectorized"},
        "sequential": {"parallel": "sequential"},
        "vectorized_xla": {"parallel": "vectorized", "jit_compile": True},
        "sequential_xla": {"parallel": "sequential", "jit_compile": True},
    }.items()
}

# Not meta-steps: what the machine could do at best, measured in the same turns.
YARDSTICKS = {
    name: Contestant("yardsticks", name, "tensorflow")
    for name in ("large_product", "products_alone")
}

GPU_YARDSTICKS = {
    f"gpu_{name}": Contestant("pytorch.yardsticks", name, "torch") for name in YARDSTICKS
}

# tfmeta's step as `benchmarks.lowering` wrote it, for machines without TensorFlow.
LOWERED = {"tfmeta_lowered": Contestant("jax.lowered", "build", "jax")}

PROCESSES = CONTESTANTS | SETTINGS | YARDSTICKS | GPU_YARDSTICKS | LOWERED
