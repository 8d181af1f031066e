"""MAML in PyTorch: a loop over tasks with autograd, and `torch.func.vmap`.

The loop is learn2learn's and MAML++'s algorithm: inner gradients with `create_graph`, one
`backward` a task, gradients added up. Convolution, batch normalisation and cross-entropy are
PyTorch's own fused ones.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import functional_call, grad, grad_and_value, vmap

from benchmarks.entries import Runner
from tests.references.problems import BATCH_NORM_EPSILON


class Conv4(torch.nn.Module):
    """The workload's network, in PyTorch's layout.

    With a stride of 2, TensorFlow pads an even size at the far side only. Mirrored images and
    kernels give the same with PyTorch's symmetric padding, which spares a copy of the images.
    """

    def __init__(self, problem):
        super().__init__()
        self.pooled = problem.pooled
        for path, array in problem.weights().items():
            value = torch.nn.Parameter(self.from_keras(array))
            self.register_parameter(path.replace("/", "_"), value)
        # Without a scale, F.batch_norm has a wrong second derivative (PyTorch 2.13).
        self.register_buffer("scale", torch.ones(problem.filters))

    def forward(self, x):
        for block in range(1, 5):
            kernel = getattr(self, f"conv_{block}_kernel")
            bias = getattr(self, f"conv_{block}_bias")
            x = F.conv2d(x, kernel, bias, stride=1 if self.pooled else 2, padding=1)
            beta = getattr(self, f"norm_{block}_beta")
            x = F.batch_norm(x, None, None, self.scale, beta, True, eps=BATCH_NORM_EPSILON)
            x = torch.relu(x)
            if self.pooled:
                x = F.max_pool2d(x, 2)
        x = x.permute(0, 2, 3, 1).flatten(1) if self.pooled else x.mean((2, 3))
        return F.linear(x, self.head_kernel.t(), self.head_bias)

    def from_keras(self, array):
        """A kernel [h, w, in, out] as [out, in, h, w], mirrored; other weights as they are."""
        if array.ndim == 4:
            array = self._mirrored(array, 0).transpose(3, 2, 0, 1)
        return torch.tensor(np.ascontiguousarray(array), dtype=torch.float32)

    def to_keras(self, tensor):
        """The inverse of `from_keras`, as a numpy array."""
        array = tensor.detach().numpy()
        return self._mirrored(array.transpose(2, 3, 1, 0), 0) if array.ndim == 4 else array

    def images(self, array):
        """Images [T, N, h, w, c] as [T, N, c, h, w], mirrored."""
        array = self._mirrored(array, 2).transpose(0, 1, 4, 2, 3)
        return torch.tensor(np.ascontiguousarray(array), dtype=torch.float32)

    def _mirrored(self, array, axis):
        return array if self.pooled else np.flip(array, (axis, axis + 1))


def build_loop(workload):
    network, tasks, optimizer = _set_up(workload)

    def backward():
        total = 0.0
        for support_x, support_y, query_x, query_y in zip(*tasks, strict=True):
            weights = dict(network.named_parameters())
            for _ in range(workload.inner_steps):
                loss = F.cross_entropy(functional_call(network, weights, support_x), support_y)
                gradients = torch.autograd.grad(
                    loss, weights.values(), create_graph=not workload.first_order
                )
                weights = {
                    name: weight - workload.inner_rate * gradient
                    for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
                }
            loss = F.cross_entropy(functional_call(network, weights, query_x), query_y)
            loss = loss / len(tasks[0])
            loss.backward()
            total += loss.item()
        return total

    return _runner(network, optimizer, backward)


def build_vmap(workload):
    network, tasks, optimizer = _set_up(workload)

    def loss_of(weights, images, labels):
        return F.cross_entropy(functional_call(network, weights, images), labels)

    def query_loss(weights, support_x, support_y, query_x, query_y):
        for _ in range(workload.inner_steps):
            gradients = grad(loss_of)(weights, support_x, support_y)
            if workload.first_order:
                gradients = {name: value.detach() for name, value in gradients.items()}
            weights = {
                name: weight - workload.inner_rate * gradients[name]
                for name, weight in weights.items()
            }
        return loss_of(weights, query_x, query_y)

    def mean_loss(weights):
        return vmap(query_loss, in_dims=(None, 0, 0, 0, 0))(weights, *tasks).mean()

    def backward():
        weights = {name: value.detach() for name, value in network.named_parameters()}
        gradients, loss = grad_and_value(mean_loss)(weights)
        for name, parameter in network.named_parameters():
            parameter.grad = gradients[name]
        return loss.item()

    return _runner(network, optimizer, backward)


def _set_up(workload):
    network = Conv4(workload.problem)
    support_x, support_y, query_x, query_y = workload.problem.batch()
    labels = [torch.tensor(array, dtype=torch.int64) for array in (support_y, query_y)]
    tasks = network.images(support_x), labels[0], network.images(query_x), labels[1]
    optimizer = torch.optim.Adam(network.parameters(), workload.outer_rate, eps=1e-7)
    return network, tasks, optimizer


def _runner(network, optimizer, backward):
    def gradient():
        optimizer.zero_grad()
        loss = backward()
        return loss, [network.to_keras(weight.grad) for weight in network.parameters()]

    def step():
        optimizer.zero_grad()
        loss = backward()
        optimizer.step()
        return loss

    return Runner(gradient, step)
