"""What a GPU could do at best: a large product, and the products of a meta-step alone."""

import torch

from benchmarks.devices import torch_device
from benchmarks.entries import Runner
from benchmarks.operations import LARGE_ON_GPU, products


def large_product(workload):
    """One product of two large matrices."""
    left, right = _operands(LARGE_ON_GPU, workload.dtype)
    return Runner(None, lambda: float(torch.bmm(left, right)[0, 0, 0]))


def products_alone(workload):
    """All products of layers that the formula counts, batched over tasks, one after another.

    They are replayed as one graph: what the host needs to start each is not the products'.
    """
    counts = products(workload)
    operands = [_operands(product, workload.dtype) for product in counts]

    def multiply():
        for (left, right), count in zip(operands, counts.values(), strict=True):
            for _ in range(count):
                product = torch.bmm(left, right)
        return product[0, 0, 0]

    multiply()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        last = multiply()

    def step():
        graph.replay()
        return float(last)

    return Runner(None, step)


def _operands(product, dtype):
    tasks, rows, reduced, columns = product
    options = {"dtype": getattr(torch, dtype), "device": torch_device()}
    return torch.rand(tasks, rows, reduced, **options), torch.rand(
        tasks, reduced, columns, **options
    )
