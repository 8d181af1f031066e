"""iMAML in PyTorch: a loop over tasks with autograd, and `torch.func.vmap`.

The loop's Hessian-vector products are by double backward through one graph of the support
gradient, as the authors' code; under vmap they are by one `vjp` of the gradient.
"""

import torch
from torch.func import grad, grad_and_value, vjp, vmap

from benchmarks.contestants.pytorch.networks import leave_gradient, set_up, training


def loop(workload):
    algorithm, setting = workload.algorithm, set_up(workload)
    names = list(setting.weights())
    sizes = [weight.numel() for weight in setting.weights().values()]

    def adapted(support_x, support_y):
        start = setting.weights()
        weights = {name: weight.clone().requires_grad_() for name, weight in start.items()}
        for _ in range(algorithm.inner_steps):
            loss = setting.loss_of(weights, support_x, support_y)
            gradients = torch.autograd.grad(loss, weights.values())
            with torch.no_grad():
                for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
                    pull = algorithm.regularization * (weight - start[name])
                    weight -= algorithm.inner_rate * (gradient + pull)
        return weights

    def backward():
        total, summed = 0.0, 0.0
        for support_x, support_y, query_x, query_y in zip(*setting.tasks, strict=True):
            weights = adapted(support_x, support_y)
            leaves = list(weights.values())
            query_loss = setting.loss_of(weights, query_x, query_y)
            right = _flat(torch.autograd.grad(query_loss, leaves))
            support_loss = setting.loss_of(weights, support_x, support_y)
            first = _flat(torch.autograd.grad(support_loss, leaves, create_graph=True))

            def operator(vector, first=first, leaves=leaves):
                product = torch.autograd.grad(first, leaves, vector, retain_graph=True)
                return vector + _flat(product) / algorithm.regularization

            summed += conjugate_gradient(operator, right, algorithm.cg_steps)
            total += query_loss.detach()
        parts = (summed / workload.problem.tasks).split(sizes)
        shaped = {
            name: part.view_as(weight)
            for name, part, weight in zip(names, parts, setting.network.parameters(), strict=True)
        }
        leave_gradient(setting.network, shaped)
        return total / workload.problem.tasks

    return training(workload, setting, backward)


def vmapped(workload):
    algorithm, setting = workload.algorithm, set_up(workload)
    shapes = {name: weight.shape for name, weight in setting.weights().items()}
    sizes = [shape.numel() for shape in shapes.values()]

    def shaped(vector):
        parts = zip(shapes.items(), vector.split(sizes), strict=True)
        return {name: part.view(shape) for (name, shape), part in parts}

    def task_gradient(start, support_x, support_y, query_x, query_y):
        weights = start
        for _ in range(algorithm.inner_steps):
            gradients = grad(setting.loss_of)(weights, support_x, support_y)
            weights = {
                name: weight
                - algorithm.inner_rate
                * (gradients[name] + algorithm.regularization * (weight - start[name]))
                for name, weight in weights.items()
            }
        right, query_loss = grad_and_value(setting.loss_of)(weights, query_x, query_y)
        _, product = vjp(lambda w: grad(setting.loss_of)(w, support_x, support_y), weights)

        def operator(vector):
            return vector + _flat(product(shaped(vector))[0].values()) / algorithm.regularization

        return conjugate_gradient(operator, _flat(right.values()), algorithm.cg_steps), query_loss

    def backward():
        mapped = vmap(task_gradient, in_dims=(None, 0, 0, 0, 0))
        solutions, losses = mapped(setting.weights(), *setting.tasks)
        leave_gradient(setting.network, shaped(solutions.mean(0)))
        return losses.mean()

    return training(workload, setting, backward)


def conjugate_gradient(operator, right_side, steps):
    """Solves operator(x) = right_side, vectors, from x = 0."""
    solution = torch.zeros_like(right_side)
    residual = direction = right_side
    squared = residual.dot(residual)
    for _ in range(steps):
        mapped = operator(direction)
        step = squared / direction.dot(mapped)
        solution = solution + step * direction
        residual = residual - step * mapped
        following = residual.dot(residual)
        direction = residual + following / squared * direction
        squared = following
    return solution


def _flat(tensors):
    return torch.cat([tensor.reshape(-1) for tensor in tensors])
