"""Who takes part in the benchmark of the meta-step, and on what: one line registers each."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from tests.references import problems


@dataclasses.dataclass(frozen=True)
class Workload:
    """MAML on one batch of tasks, given as arrays; float32, Adam outside.

    Attributes:
        problem: network with its weights, and the tasks.
        inner_steps: of MAML, second order unless `first_order`.
        inner_rate: of all weights.
        first_order: whether second derivatives are left out.
        outer_rate: of Adam.
    """

    problem: problems.Problem
    inner_steps: int
    inner_rate: float
    first_order: bool = False
    outer_rate: float = 1e-3


class Runner(NamedTuple):
    """What a contestant's `build` returns.

    Attributes:
        gradient: function of nothing to (loss, list of arrays): the meta-gradient at the
            workload's weights, in their order and layout. Called before any step.
        step: function of nothing to the loss: a meta-step, finished when it returns.
    """

    gradient: Callable
    step: Callable


class Contestant(NamedTuple):
    """A way to compute the meta-step.

    Attributes:
        module: has the function `build`; imported only in the contestant's own process.
        build: name of a function of a `Workload` to a `Runner`.
        interpreter: "tensorflow", "torch" or "jax": which interpreter runs it.
    """

    module: str
    build: str
    interpreter: str


_OMNIGLOT = problems.PROBLEMS["omniglot"]
_MINI_IMAGENET = problems.PROBLEMS["mini_imagenet"]

WORKLOADS = {
    "omniglot_5way_1shot": Workload(
        dataclasses.replace(_OMNIGLOT, tasks=32), inner_steps=1, inner_rate=0.4
    ),
    "omniglot_5way_1shot_first_order": Workload(
        dataclasses.replace(_OMNIGLOT, tasks=32), 1, 0.4, first_order=True
    ),
    "mini_imagenet_5way_1shot": Workload(
        dataclasses.replace(_MINI_IMAGENET, tasks=4, queries=15), inner_steps=5, inner_rate=0.01
    ),
}

# The first is what the others are compared with.
CONTESTANTS = {
    "pytorch_loop": Contestant("benchmarks.contestants.pytorch", "build_loop", "torch"),
    "torch_func_vmap": Contestant("benchmarks.contestants.pytorch", "build_vmap", "torch"),
    "jax_vmap": Contestant("benchmarks.contestants.jax_program", "build_vmap", "jax"),
    "jax_lax_map": Contestant("benchmarks.contestants.jax_program", "build_map", "jax"),
    "stock_vectorized_map": Contestant(
        "benchmarks.contestants.stock_tensorflow", "build_vectorized_map", "tensorflow"
    ),
    "stock_map_fn": Contestant(
        "benchmarks.contestants.stock_tensorflow", "build_map_fn", "tensorflow"
    ),
    "tfmeta": Contestant("benchmarks.contestants.tfmeta_learner", "build", "tensorflow"),
    "tfmeta_sequential": Contestant(
        "benchmarks.contestants.tfmeta_learner", "build_sequential", "tensorflow"
    ),
}
