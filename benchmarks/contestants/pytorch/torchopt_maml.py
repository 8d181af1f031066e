"""MAML by TorchOpt's differentiable optimiser on a module, as its own example of MAML has it."""

import torchopt

from benchmarks.contestants.pytorch.networks import set_up, training


def loop(workload):
    algorithm, setting = workload.algorithm, set_up(workload)
    network, loss = setting.network, setting.loss
    optimizer = torchopt.MetaSGD(network, lr=algorithm.inner_rate)

    def backward():
        weights = torchopt.extract_state_dict(network, by="reference", detach_buffers=True)
        state = torchopt.extract_state_dict(optimizer, by="reference")
        total = 0.0
        for support_x, support_y, query_x, query_y in zip(*setting.tasks, strict=True):
            for _ in range(algorithm.inner_steps):
                optimizer.step(loss(network(support_x), support_y))
            # The example adds the losses up first: one graph a task at a time takes less memory.
            query_loss = loss(network(query_x), query_y) / workload.problem.tasks
            query_loss.backward()
            total += query_loss.detach()
            torchopt.recover_state_dict(network, weights)
            torchopt.recover_state_dict(optimizer, state)
        return total

    return training(workload, setting, backward)
