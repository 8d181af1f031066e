"""Reference problems: networks' weights, tasks and algorithms, the same in every framework.

Only numpy, and of it only the raw 64-bit stream of PCG64, which numpy promises never to change.
So nothing large is stored: an interpreter with PyTorch, one with JAX and one with TensorFlow each
build the same arrays, and compare the fingerprints of what they computed from them.
"""

import dataclasses
import json
import math
import pathlib
import zlib
from typing import ClassVar

import numpy as np

FOLDER = pathlib.Path(__file__).parent
# Keras' default of BatchNormalization.
BATCH_NORM_EPSILON = 1e-3
# Equal mathematics in another order of operations: what float64 leaves after five inner steps.
TOLERANCE = 1e-9
PROJECTIONS = 2
FIRST_ENTRIES = 4


@dataclasses.dataclass(frozen=True)
class Case:
    """An algorithm with its settings.

    Attributes:
        algorithm: "maml", "first_order_maml", "anil", "meta_sgd", "imaml", "reptile" or
            "reptile_adam".
        inner_steps: number of inner steps.
        inner_rate: of all weights; None for Meta-SGD, whose rates `Problem.rates` gives.
        regularization: lambda of iMAML.
    """

    algorithm: str
    inner_steps: int
    inner_rate: float | None
    regularization: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.algorithm}_{self.inner_steps}"


@dataclasses.dataclass(frozen=True)
class Problem:
    """A convolutional network with its weights, a batch of tasks, and the cases run on them.

    The network is four blocks of 3 x 3 convolution ("same" as TensorFlow pads), batch
    normalisation with the batch's statistics and a centre but no scale, and ReLU; then a dense
    layer. Blocks halve their input by a stride of 2, and the mean over space follows
    (`pooled=False`); or by a 2 x 2 max pooling ("valid"), and all positions follow, channels
    last (`pooled=True`).

    Attributes:
        network: what each framework's programs know it by.
        image_shape: (height, width, channels).
        inner_rate: of gradient descent in MAML's cases and Reptile's.
        implicit_rate: of iMAML's; small enough for I + H / lambda to be positive definite where
            its inner steps end.
        seed: of weights and tasks.
    """

    network: ClassVar[str] = "conv4"

    name: str
    image_shape: tuple[int, int, int]
    filters: int
    pooled: bool
    tasks: int
    inner_rate: float
    implicit_rate: float
    ways: int = 5
    shots: int = 1
    queries: int = 1
    seed: int = 0

    def weights(self) -> dict[str, np.ndarray]:
        """Weights by path, in the order of Keras' trainable variables; float64."""
        stream = Stream(self.seed)
        height, width, channels = self.image_shape
        weights = {}
        for block in range(1, 5):
            shape = (3, 3, channels, self.filters)
            weights[f"conv_{block}/kernel"] = stream.glorot(shape)
            weights[f"conv_{block}/bias"] = stream.uniform((self.filters,), -0.1, 0.1)
            weights[f"norm_{block}/beta"] = stream.uniform((self.filters,), -0.2, 0.2)
            channels = self.filters
            half = math.floor if self.pooled else math.ceil
            height, width = half(height / 2), half(width / 2)
        features = height * width * channels if self.pooled else channels
        weights["head/kernel"] = stream.glorot((features, self.ways))
        weights["head/bias"] = stream.uniform((self.ways,), -0.1, 0.1)
        return weights

    def rates(self) -> dict[str, np.ndarray]:
        """Rates of Meta-SGD by path, in U[0.005, 0.1] as the paper initialises them; float64."""
        stream = Stream(self.seed + 1)
        return {
            path: stream.uniform(weight.shape, 0.005, 0.1)
            for path, weight in self.weights().items()
        }

    def batch(self):
        """Returns support_x [T, S, h, w, c], support_y [T, S], query_x [T, Q, ...], query_y.

        Each class has a random picture; each example mixes it half and half with noise.
        """
        stream = Stream(self.seed + 2)
        classes = stream.uniform((self.tasks, 1, self.ways, *self.image_shape))
        sets = []
        for examples in (self.shots, self.queries):
            noise = stream.uniform((self.tasks, examples, self.ways, *self.image_shape))
            # Pixels of 8 bits: the same number in float32 and in float64.
            images = np.floor(128.0 * classes + 128.0 * noise) / 256.0
            sets.append(images.reshape(self.tasks, examples * self.ways, *self.image_shape))
            labels = np.tile(np.arange(self.ways, dtype=np.int32), (self.tasks, examples))
            sets.append(labels)
        return tuple(sets)

    def cases(self) -> list[Case]:
        rate = self.inner_rate
        return [
            *(Case("maml", steps, rate) for steps in (1, 3, 5)),
            *(Case("first_order_maml", steps, rate) for steps in (1, 3, 5)),
            Case("anil", 3, rate),
            *(Case("meta_sgd", steps, None) for steps in (1, 3)),
            Case("imaml", 5, self.implicit_rate, regularization=2.0),
            Case("reptile", 5, rate),
            Case("reptile_adam", 5, 1e-3),
        ]


_OMNIGLOT = Problem(
    "omniglot", (28, 28, 1), 64, pooled=False, tasks=2, inner_rate=0.4, implicit_rate=0.1
)
_MINI_IMAGENET = Problem(
    "mini_imagenet", (84, 84, 3), 32, pooled=True, tasks=1, inner_rate=0.05, implicit_rate=0.01
)
PROBLEMS = {problem.name: problem for problem in (_OMNIGLOT, _MINI_IMAGENET)}


class Stream:
    """Uniform float64 numbers from the raw stream of PCG64."""

    def __init__(self, seed: int):
        self._bits = np.random.PCG64(seed)

    def uniform(self, shape, low=0.0, high=1.0):
        raw = self._bits.random_raw(math.prod(shape))
        unit = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return (low + (high - low) * unit).reshape(shape)

    def glorot(self, shape):
        receptive = math.prod(shape[:-2])
        limit = math.sqrt(6.0 / (receptive * (shape[-2] + shape[-1])))
        return self.uniform(shape, -limit, limit)


def fingerprint(name: str, values) -> dict:
    """A few numbers that equal arrays share and unequal ones do not.

    Returns:
        Euclidean norm, the first entries, and the projections on fixed directions of length 1.
    """
    flat = np.asarray(values, np.float64).ravel()
    directions = Stream(zlib.crc32(name.encode())).uniform((PROJECTIONS, flat.size), -1.0, 1.0)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return {
        "norm": float(np.linalg.norm(flat)),
        "first": flat[:FIRST_ENTRIES].tolist(),
        "projections": (directions @ flat).tolist(),
    }


def case_distance(result: dict, expected: dict) -> float:
    """Largest difference between two cases, of losses and gradient fingerprints.

    Gradients count relative to the norm of the whole gradient: that of a bias before batch
    normalisation is 0, and has no scale of its own.

    Args:
        result: "query_loss" and "gradient", as stored; more is not looked at.
        expected: a stored case.
    """
    norm = math.hypot(*(weight["norm"] for weight in expected["gradient"].values()))
    differences = [abs(result["query_loss"] - expected["query_loss"])]
    for path, weight in expected["gradient"].items():
        received = result["gradient"][path]
        differences += [
            np.max(np.abs(np.subtract(received[key], weight[key]))) / norm for key in weight
        ]
    return float(max(differences))


def distance(arrays, expected) -> float:
    """Norm of the difference over the norm of what is expected, over dicts of arrays."""
    difference = sum(np.sum((np.float64(arrays[k]) - expected[k]) ** 2) for k in expected)
    return float(np.sqrt(difference / sum(np.sum(np.float64(v) ** 2) for v in expected.values())))


def stored(problem_name: str) -> dict:
    """The stored reference values: {case name: {"query_loss", "gradient", ...}}."""
    return json.loads((FOLDER / f"{problem_name}.json").read_text())["cases"]
