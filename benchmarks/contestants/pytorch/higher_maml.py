"""MAML by higher's inner-loop context, as its own example of MAML has it."""

import higher
import torch

from benchmarks.contestants.pytorch.networks import set_up, training


def loop(workload):
    algorithm, setting = workload.algorithm, set_up(workload)
    network, loss = setting.network, setting.loss
    optimizer = torch.optim.SGD(network.parameters(), algorithm.inner_rate)

    def backward():
        total = 0.0
        for support_x, support_y, query_x, query_y in zip(*setting.tasks, strict=True):
            context = higher.innerloop_ctx(
                network,
                optimizer,
                copy_initial_weights=False,
                track_higher_grads=not algorithm.first_order,
            )
            with context as (adapted, inner_optimizer):
                for _ in range(algorithm.inner_steps):
                    inner_optimizer.step(loss(adapted(support_x), support_y))
                query_loss = loss(adapted(query_x), query_y) / workload.problem.tasks
                if algorithm.first_order:
                    _add_gradients(network, adapted, query_loss)
                else:
                    query_loss.backward()
            total += query_loss.detach()
        return total

    return training(workload, setting, backward)


def _add_gradients(network, adapted, loss):
    """Adds the gradient at the adapted weights: without a graph none reaches the initial ones."""
    gradients = torch.autograd.grad(loss, adapted.parameters())
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
