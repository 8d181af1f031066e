"""MAML in PyTorch: a loop over tasks with autograd, and `torch.func.vmap`.

The loop is learn2learn's and MAML++'s algorithm: inner gradients with `create_graph`, one
`backward` a task, gradients added up.
"""

import torch
from torch.func import grad, grad_and_value, vmap

from benchmarks.contestants.pytorch.networks import leave_gradient, set_up, training


def loop(workload):
    algorithm, setting = workload.algorithm, set_up(workload)

    def backward():
        total = 0.0
        for support_x, support_y, query_x, query_y in zip(*setting.tasks, strict=True):
            weights = dict(setting.network.named_parameters())
            for _ in range(algorithm.inner_steps):
                loss = setting.loss_of(weights, support_x, support_y)
                gradients = torch.autograd.grad(
                    loss, weights.values(), create_graph=not algorithm.first_order
                )
                weights = {
                    name: weight - algorithm.inner_rate * gradient
                    for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
                }
            loss = setting.loss_of(weights, query_x, query_y) / workload.problem.tasks
            loss.backward()
            total += loss.detach()
        return total

    return training(workload, setting, backward)


def vmapped(workload):
    algorithm, setting = workload.algorithm, set_up(workload)

    def query_loss(weights, support_x, support_y, query_x, query_y):
        for _ in range(algorithm.inner_steps):
            gradients = grad(setting.loss_of)(weights, support_x, support_y)
            if algorithm.first_order:
                gradients = {name: value.detach() for name, value in gradients.items()}
            weights = {
                name: weight - algorithm.inner_rate * gradients[name]
                for name, weight in weights.items()
            }
        return setting.loss_of(weights, query_x, query_y)

    def mean_loss(weights):
        return vmap(query_loss, in_dims=(None, 0, 0, 0, 0))(weights, *setting.tasks).mean()

    def backward():
        gradients, loss = grad_and_value(mean_loss)(setting.weights())
        leave_gradient(setting.network, gradients)
        return loss

    return training(workload, setting, backward)
