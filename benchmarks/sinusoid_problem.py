"""Regression of sinusoids as MAML's paper has it, for programs in every framework: numpy only."""

import dataclasses
import math
from typing import ClassVar

import numpy as np

from tests.references.problems import Stream

INPUTS, AMPLITUDES, PHASES = (-5.0, 5.0), (0.1, 5.0), (0.0, math.pi)
# Coordinates are multiples of it: the same number in float32 and in float64.
GRID = 2.0**-10


@dataclasses.dataclass(frozen=True)
class SinusoidProblem:
    """A network of dense layers with ReLU between them, its weights, and a batch of tasks.

    Attributes:
        network: what each framework's programs know it by; its loss is the mean squared error.
        shots: points in a support set.
        queries: points in a query set.
        hidden: width of each hidden layer.
        seed: of weights and tasks.
    """

    network: ClassVar[str] = "mlp"

    name: str
    tasks: int
    shots: int
    queries: int
    hidden: tuple[int, ...] = (40, 40)
    seed: int = 0

    def widths(self) -> tuple[int, ...]:
        """Of all layers, the input's and the output's too."""
        return (1, *self.hidden, 1)

    def weights(self) -> dict[str, np.ndarray]:
        """Weights by path, in the order of Keras' trainable variables; float64."""
        stream = Stream(self.seed)
        names = [*(f"hidden_{index + 1}" for index in range(len(self.hidden))), "head"]
        weights = {}
        for name, width, following in zip(
            names, self.widths()[:-1], self.widths()[1:], strict=True
        ):
            limit = math.sqrt(6.0 / (width + following))
            weights[f"{name}/kernel"] = stream.uniform((width, following), -limit, limit)
            weights[f"{name}/bias"] = stream.uniform((following,), -0.1, 0.1)
        return weights

    def batch(self):
        """Returns support_x [T, K, 1], support_y [T, K, 1], query_x [T, Q, 1], query_y."""
        stream = Stream(self.seed + 2)
        amplitudes, phases = (
            stream.uniform((self.tasks, 1, 1), *limits) for limits in (AMPLITUDES, PHASES)
        )
        sets = []
        for examples in (self.shots, self.queries):
            x = _on_grid(stream.uniform((self.tasks, examples, 1), *INPUTS))
            sets += [x, _on_grid(amplitudes * np.sin(x - phases))]
        return tuple(sets)


def _on_grid(values):
    return np.round(values / GRID) * GRID
