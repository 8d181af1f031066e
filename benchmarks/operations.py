"""How many operations a meta-step needs, by a fixed formula of the network and the algorithm.

Counted are the products of layers (dense, or convolution as the product of patches with the
kernel): 2 m k n operations for [m, k] by [k, n]. Element-wise work, normalisation, losses and
optimisers are not: on the workloads' networks they are few operations, though not little time.

A layer's product with x its inputs, W its kernel and d the derivative of its outputs has three
shapes: forward x W, for inputs d W^T, for the kernel x^T d; each f operations for a set of
examples. F is the sum of f over layers, f1 that of the first layer, whose inputs need no
derivative. Then, for one task with s the support set and q the query set:

    outputs                       F
    gradient                      3 F - f1           forward, inputs (not the first), kernel
    Hessian-vector product        6 F - 4 f1         the derivative of a gradient, which is there
    MAML, k inner steps           k (9 F(s) - 5 f1(s)) + 3 F(q) - f1(q)
    first order                   k (3 F(s) - f1(s)) + 3 F(q) - f1(q)
    Reptile, b: a minibatch       k (3 F(b) - f1(b))
    iMAML, c steps of CG          (k + 1) (3 F(s) - f1(s)) + 3 F(q) - f1(q) + c (6 F(s) - 4 f1(s))
    adaptation                    k (3 F(s) - f1(s)) + F(q)

A Hessian-vector product is as much forward over reverse as reverse over reverse: a layer beyond
the first makes each shape of product twice, the first makes x V and one for the kernel.
"""

import collections
import itertools
import math
from typing import NamedTuple


class Layer(NamedTuple):
    """The product of a layer: [examples x positions, reduced] by [reduced, outputs]."""

    positions: int
    reduced: int
    outputs: int


class Product(NamedTuple):
    """A batched product: [tasks, rows, reduced] by [tasks, reduced, columns]."""

    tasks: int
    rows: int
    reduced: int
    columns: int

    @property
    def operations(self):
        return 2 * math.prod(self)


# What the machine's rate is measured by.
LARGE = Product(1, 2048, 2048, 2048)
LARGE_ON_GPU = Product(1, 8192, 8192, 8192)

# How often a set of examples meets the products (forward, for inputs, for the kernel) of a layer:
# of the layers beyond the first, and of the first.
OUTPUTS = ((1, 0, 0), (1, 0, 0))
GRADIENT = ((1, 1, 1), (1, 0, 1))
HESSIAN_VECTOR = ((2, 2, 2), (1, 0, 1))


def conv4_layers(problem) -> list[Layer]:
    """Layers of four blocks of 3 x 3 convolution and a dense head."""
    height, width, channels = problem.image_shape
    half = math.floor if problem.pooled else math.ceil
    layers = []
    for _ in range(4):
        smaller = half(height / 2), half(width / 2)
        # A stride leaves half the positions to compute; pooling throws them away afterwards.
        positions = height * width if problem.pooled else math.prod(smaller)
        layers.append(Layer(positions, 9 * channels, problem.filters))
        (height, width), channels = smaller, problem.filters
    features = height * width * channels if problem.pooled else channels
    return [*layers, Layer(1, features, problem.ways)]


def mlp_layers(problem) -> list[Layer]:
    widths = problem.widths()
    return [Layer(1, *pair) for pair in itertools.pairwise(widths)]


LAYERS = {"conv4": conv4_layers, "mlp": mlp_layers}


def maml(algorithm, support, query):
    steps = algorithm.inner_steps
    passes = [(support, GRADIENT, steps), (query, GRADIENT, 1)]
    return passes if algorithm.first_order else [*passes, (support, HESSIAN_VECTOR, steps)]


def reptile(algorithm, support, query):
    return [(algorithm.batch_size, GRADIENT, algorithm.inner_steps)]


def imaml(algorithm, support, query):
    return [
        (support, GRADIENT, algorithm.inner_steps + 1),
        (query, GRADIENT, 1),
        (support, HESSIAN_VECTOR, algorithm.cg_steps),
    ]


def adaptation(algorithm, support, query):
    return [(support, GRADIENT, algorithm.inner_steps), (query, OUTPUTS, 1)]


# Functions of (algorithm, support examples, query examples) to what one task needs: a list of
# (examples, products a layer, times).
ALGORITHMS = {"maml": maml, "reptile": reptile, "imaml": imaml, "adaptation": adaptation}


def products(workload) -> dict[Product, int]:
    """The batched products of a meta-step, and how often each is made."""
    problem = workload.problem
    layers = LAYERS[problem.network](problem)
    ways = getattr(problem, "ways", 1)
    support, query = ways * problem.shots, ways * problem.queries
    counts = collections.Counter()
    passes = ALGORITHMS[workload.algorithm.name](workload.algorithm, support, query)
    for examples, (beyond, first), times in passes:
        for index, layer in enumerate(layers):
            rows = examples * layer.positions
            forward, inputs, kernel = beyond if index else first
            shapes = (
                (forward, (rows, layer.reduced, layer.outputs)),
                (inputs, (rows, layer.outputs, layer.reduced)),
                (kernel, (layer.reduced, rows, layer.outputs)),
            )
            for count, shape in shapes:
                counts[Product(problem.tasks, *shape)] += count * times
    return {product: count for product, count in counts.items() if count}


def operations(workload) -> int:
    """Operations of a meta-step."""
    return sum(product.operations * count for product, count in products(workload).items())
