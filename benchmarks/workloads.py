"""What the benchmark of the meta-step is run on: one line registers each workload."""

import dataclasses
import fnmatch

from benchmarks.algorithms import IMAML, MAML, Adaptation, Reptile
from benchmarks.sinusoid_problem import SinusoidProblem
from tests.references import problems


@dataclasses.dataclass(frozen=True)
class Workload:
    """An algorithm on one batch of tasks, given as arrays; Adam outside.

    Attributes:
        problem: a network with its weights, and the tasks.
        algorithm: of `benchmarks.algorithms`.
        undetermined: pattern of weights that are not compared, since rounding decides what
            happens to them.
        dtype: of all weights and inputs.
        outer_rate: of Adam.
        intra_op_threads: of TensorFlow, for contestants with it, plain ones too: one, as in the
            recipes and in the server. None: as many as the contestant has.
    """

    problem: problems.Problem | SinusoidProblem
    algorithm: MAML | Reptile | IMAML | Adaptation
    undetermined: str = ""
    dtype: str = "float32"
    outer_rate: float = 1e-3
    intra_op_threads: int | None = 1

    def compared(self) -> list[str]:
        """Names of the arrays in which contestants must agree, of those that they give."""
        return [name for name in self.outputs() if not fnmatch.fnmatch(name, self.undetermined)]

    def outputs(self) -> list[str]:
        """Names of the arrays that a contestant gives, in order."""
        if isinstance(self.algorithm, Adaptation):
            return ["query_outputs"]
        return list(self.problem.weights())


def changed(workload: Workload, changes: dict) -> Workload:
    """The workload with other values in fields of its own, its problem's or its algorithm's.

    Raises:
        ValueError: if none of them has a field of that name.
    """
    for name, value in changes.items():
        holders = [workload.problem, workload.algorithm, workload]
        holder = next((h for h in holders if name in _fields(h)), None)
        if holder is None:
            known = ", ".join(name for h in holders for name in _fields(h))
            raise ValueError(f"A change must name one of {known}. Received: {name!r}.")
        replaced = dataclasses.replace(holder, **{name: value})
        if holder is workload.problem:
            workload = dataclasses.replace(workload, problem=replaced)
        elif holder is workload.algorithm:
            workload = dataclasses.replace(workload, algorithm=replaced)
        else:
            workload = replaced
    return workload


def described(workload: Workload) -> dict:
    """What a reader of a result must know of the workload."""
    return {
        "network": workload.problem.network,
        **dataclasses.asdict(workload.problem),
        "algorithm": workload.algorithm.name,
        **dataclasses.asdict(workload.algorithm),
        "dtype": workload.dtype,
        "intra_op_threads": workload.intra_op_threads,
    }


def _fields(holder):
    return [field.name for field in dataclasses.fields(holder)]


def _omniglot(**shape):
    return dataclasses.replace(problems.PROBLEMS["omniglot"], **shape)


def _both_orders(name, problem, inner_steps, inner_rate, **options):
    first_order = MAML(inner_steps, inner_rate, first_order=True)
    return {
        name: Workload(problem, MAML(inner_steps, inner_rate), **options),
        f"{name}_first_order": Workload(problem, first_order, **options),
    }


_SINUSOID = SinusoidProblem("sinusoid", tasks=25, shots=10, queries=10)
_OMNIGLOT = _omniglot(tasks=32)
_OMNIGLOT_QUERIES = _omniglot(tasks=32, queries=15)
_OMNIGLOT_20WAY = _omniglot(tasks=16, ways=20)
_OMNIGLOT_5SHOT = _omniglot(tasks=32, shots=5, queries=15)
_OMNIGLOT_REPTILE = _omniglot(tasks=5, shots=10, queries=0)
_MINI_IMAGENET = dataclasses.replace(problems.PROBLEMS["mini_imagenet"], tasks=4, queries=15)

WORKLOADS = {
    **_both_orders("sinusoid_1step", _SINUSOID, 1, 0.01),
    **_both_orders("sinusoid_5steps", _SINUSOID, 5, 0.01),
    **_both_orders("omniglot_5way_1shot", _OMNIGLOT, 1, 0.4),
    **_both_orders("omniglot_5way_1shot_15queries", _OMNIGLOT_QUERIES, 1, 0.4),
    **_both_orders("omniglot_20way_1shot", _OMNIGLOT_20WAY, 5, 0.1),
    **_both_orders("omniglot_5way_5shot", _OMNIGLOT_5SHOT, 1, 0.4),
    **_both_orders("mini_imagenet_5way_1shot", _MINI_IMAGENET, 5, 0.01),
    # A bias before batch normalisation has a gradient of 0: Adam divides rounding by epsilon.
    "omniglot_reptile": Workload(_OMNIGLOT_REPTILE, Reptile(5, 1e-3, 10), "conv_*/bias"),
    # On these random tasks the paper's lambda of 2 leaves systems indefinite, where conjugate
    # gradients mean nothing and end differently everywhere. A large one takes as long.
    "omniglot_imaml": Workload(_omniglot(tasks=16), IMAML(16, 0.004, 300.0, cg_steps=5)),
    **{
        f"adaptation_{steps}steps_{tasks}tasks": Workload(
            _omniglot(tasks=tasks, queries=15), Adaptation(steps, 0.4)
        )
        for steps in (1, 5, 50)
        for tasks in (1, 32)
    },
}
