"""The algorithms that the benchmark runs, with their settings.

A contestant has a module of each one's `name` in its folder under `benchmarks/contestants/`.
"""

import dataclasses
from typing import ClassVar


@dataclasses.dataclass(frozen=True)
class MAML:
    """The meta-gradient of the query loss after gradient steps on the support set.

    Attributes:
        inner_steps: in a meta-step.
        inner_rate: of all weights.
        first_order: whether second derivatives are left out.
    """

    name: ClassVar[str] = "maml"

    inner_steps: int
    inner_rate: float
    first_order: bool = False


@dataclasses.dataclass(frozen=True)
class Reptile:
    """Weights minus adapted weights; inside Adam with beta_1 = 0, its moment from 0 in each task.

    Attributes:
        inner_steps: in a meta-step.
        inner_rate: of Adam.
        batch_size: examples of an inner step: one after another, parts of the support set.
    """

    name: ClassVar[str] = "reptile"
    beta_2: ClassVar[float] = 0.999
    epsilon: ClassVar[float] = 1e-8

    inner_steps: int
    inner_rate: float
    batch_size: int

    def rows(self, step: int) -> slice:
        """Examples of an inner step."""
        return slice(step * self.batch_size, (step + 1) * self.batch_size)


@dataclasses.dataclass(frozen=True)
class IMAML:
    """(I + H / lambda)^-1 g by conjugate gradients, where the regularised inner problem ends.

    Attributes:
        inner_steps: in a meta-step.
        inner_rate: of all weights.
        regularization: lambda, inside and in the system.
        cg_steps: of conjugate gradients, all of them always.
    """

    name: ClassVar[str] = "imaml"

    inner_steps: int
    inner_rate: float
    regularization: float
    cg_steps: int


@dataclasses.dataclass(frozen=True)
class Adaptation:
    """Outputs of the queries after gradient steps on the support set: what a server computes.

    Attributes:
        inner_steps: before the queries are answered.
        inner_rate: of all weights.
    """

    name: ClassVar[str] = "adaptation"

    inner_steps: int
    inner_rate: float
