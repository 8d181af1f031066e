"""Reptile in PyTorch: a loop over tasks with `torch.optim.Adam`, and `torch.func.vmap`."""

import copy

import torch
from torch.func import grad_and_value, vmap

from benchmarks.contestants.pytorch.networks import leave_gradient, set_up, training


def loop(workload):
    algorithm, setting = workload.algorithm, set_up(workload)
    support_x, support_y, *_ = setting.tasks
    adapting = copy.deepcopy(setting.network)
    weights, adapted = list(setting.network.parameters()), list(adapting.parameters())

    def backward():
        total, tasks = 0.0, workload.problem.tasks
        sums = [torch.zeros_like(weight) for weight in weights]
        for inputs, targets in zip(support_x, support_y, strict=True):
            adapting.load_state_dict(setting.network.state_dict())
            optimizer = torch.optim.Adam(
                adapted,
                algorithm.inner_rate,
                betas=(0.0, algorithm.beta_2),
                eps=algorithm.epsilon,
            )
            for step in range(algorithm.inner_steps):
                rows = algorithm.rows(step)
                optimizer.zero_grad()
                loss = setting.loss(adapting(inputs[rows]), targets[rows])
                loss.backward()
                optimizer.step()
                total += loss.detach() / (algorithm.inner_steps * tasks)
            with torch.no_grad():
                for summed, weight in zip(sums, adapted, strict=True):
                    summed += weight
        for weight, summed in zip(weights, sums, strict=True):
            weight.grad = weight.detach() - summed / tasks
        return total

    return training(workload, setting, backward)


def vmapped(workload):
    algorithm, setting = workload.algorithm, set_up(workload)
    support_x, support_y, *_ = setting.tasks

    def adapted(weights, inputs, targets):
        seconds, losses = dict.fromkeys(weights, 0.0), []
        for step in range(algorithm.inner_steps):
            rows = algorithm.rows(step)
            gradients, loss = grad_and_value(setting.loss_of)(weights, inputs[rows], targets[rows])
            losses.append(loss)
            seconds = {
                name: algorithm.beta_2 * second + (1 - algorithm.beta_2) * gradients[name] ** 2
                for name, second in seconds.items()
            }
            correction = 1 - algorithm.beta_2 ** (step + 1)
            weights = {
                name: weight
                - algorithm.inner_rate
                * gradients[name]
                / ((seconds[name] / correction).sqrt() + algorithm.epsilon)
                for name, weight in weights.items()
            }
        return weights, torch.stack(losses).mean()

    def backward():
        weights = setting.weights()
        moved, losses = vmap(adapted, in_dims=(None, 0, 0))(weights, support_x, support_y)
        gradients = {name: weight - moved[name].mean(0) for name, weight in weights.items()}
        leave_gradient(setting.network, gradients)
        return losses.mean()

    return training(workload, setting, backward)
