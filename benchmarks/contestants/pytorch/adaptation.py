"""Adaptation in PyTorch: a loop over tasks with autograd, and `torch.func.vmap`."""

import torch
from torch.func import functional_call, grad, vmap

from benchmarks.contestants.pytorch.networks import set_up
from benchmarks.entries import Runner


def loop(workload):
    algorithm, setting = workload.algorithm, set_up(workload)

    def outputs(support_x, support_y, query_x):
        weights = {name: value.clone() for name, value in setting.weights().items()}
        leaves = [value.requires_grad_() for value in weights.values()]
        for _ in range(algorithm.inner_steps):
            gradients = torch.autograd.grad(setting.loss_of(weights, support_x, support_y), leaves)
            with torch.no_grad():
                for leaf, gradient in zip(leaves, gradients, strict=True):
                    leaf -= algorithm.inner_rate * gradient
        with torch.no_grad():
            return functional_call(setting.network, weights, query_x)

    def answers():
        return torch.stack([outputs(*task) for task in zip(*setting.tasks[:3], strict=True)])

    return _runner(answers)


def vmapped(workload):
    algorithm, setting = workload.algorithm, set_up(workload)

    def outputs(weights, support_x, support_y, query_x):
        for _ in range(algorithm.inner_steps):
            gradients = grad(setting.loss_of)(weights, support_x, support_y)
            weights = {
                name: weight - algorithm.inner_rate * gradients[name]
                for name, weight in weights.items()
            }
        return functional_call(setting.network, weights, query_x)

    def answers():
        with torch.no_grad():
            mapped = vmap(outputs, in_dims=(None, 0, 0, 0))
            return mapped(setting.weights(), *setting.tasks[:3])

    return _runner(answers)


def _runner(answers):
    return Runner(lambda: (None, [answers().cpu().numpy()]), lambda: float(answers()[0, 0, 0]))
