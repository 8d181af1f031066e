"""The workloads' networks in PyTorch, and what all algorithms here start from.

Convolution, batch normalisation, cross-entropy and squared error are PyTorch's own fused ones.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import functional_call

from benchmarks.devices import torch_device
from benchmarks.entries import Runner
from tests.references.problems import BATCH_NORM_EPSILON


class _Network(torch.nn.Module):
    """Parameters are named by their paths in Keras, with "_" instead of "/"."""

    def __init__(self, problem, dtype=torch.float32):
        super().__init__()
        self.dtype = dtype
        for path, array in problem.weights().items():
            value = torch.nn.Parameter(self.from_keras(array))
            self.register_parameter(path.replace("/", "_"), value)

    def from_keras(self, array):
        """A weight in this network's layout."""
        return torch.tensor(array.copy(), dtype=self.dtype, device=torch_device())

    def to_keras(self, tensor):
        """The inverse of `from_keras`, as a numpy array."""
        return tensor.detach().cpu().numpy()

    def inputs(self, array):
        """Inputs of tasks [T, N, ...] in this network's layout."""
        return torch.tensor(array.copy(), dtype=self.dtype, device=torch_device())


class Conv4(_Network):
    """Four blocks of convolution, batch normalisation and ReLU, and a dense layer.

    With a stride of 2, TensorFlow pads an even size at the far side only. Mirrored images and
    kernels give the same with PyTorch's symmetric padding, which spares a copy of the images.
    """

    def __init__(self, problem, dtype=torch.float32):
        self.pooled = problem.pooled
        super().__init__(problem, dtype)
        # Without a scale, F.batch_norm has a wrong second derivative (PyTorch 2.13).
        self.register_buffer(
            "scale", torch.ones(problem.filters, dtype=dtype, device=torch_device())
        )

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
        return super().from_keras(array)

    def to_keras(self, tensor):
        """The inverse of `from_keras`, as a numpy array."""
        array = super().to_keras(tensor)
        return self._mirrored(array.transpose(2, 3, 1, 0), 0) if array.ndim == 4 else array

    def inputs(self, array):
        """Images [T, N, h, w, c] as [T, N, c, h, w], mirrored."""
        return super().inputs(self._mirrored(array, 2).transpose(0, 1, 4, 2, 3))

    def _mirrored(self, array, axis):
        return array if self.pooled else np.flip(array, (axis, axis + 1))


class MLP(_Network):
    """Dense layers with ReLU between them."""

    def __init__(self, problem, dtype=torch.float32):
        super().__init__(problem, dtype)
        self.hidden = [f"hidden_{index + 1}" for index in range(len(problem.hidden))]

    def forward(self, x):
        for name in self.hidden:
            kernel, bias = getattr(self, f"{name}_kernel"), getattr(self, f"{name}_bias")
            x = torch.relu(F.linear(x, kernel.t(), bias))
        return F.linear(x, self.head_kernel.t(), self.head_bias)


# The class, the loss of its tasks, and whether targets are labels.
NETWORKS = {
    "conv4": (Conv4, F.cross_entropy, True),
    "mlp": (MLP, F.mse_loss, False),
}


class Setting(NamedTuple):
    """What all algorithms start from.

    Attributes:
        network: with the workload's weights.
        loss: of (outputs, targets).
        loss_of: of (weights by name, inputs, targets).
        tasks: support_x, support_y, query_x, query_y, each [T, N, ...].
    """

    network: torch.nn.Module
    loss: Callable
    loss_of: Callable
    tasks: tuple

    def weights(self):
        """The network's weights by name, without a graph."""
        return {name: value.detach() for name, value in self.network.named_parameters()}


def set_up(workload) -> Setting:
    make_network, loss, labels = NETWORKS[workload.problem.network]
    dtype = getattr(torch, workload.dtype)
    network = make_network(workload.problem, dtype)
    support_x, support_y, query_x, query_y = workload.problem.batch()
    support_y, query_y = (
        torch.tensor(array, dtype=torch.int64 if labels else dtype, device=torch_device())
        for array in (support_y, query_y)
    )
    tasks = network.inputs(support_x), support_y, network.inputs(query_x), query_y

    def loss_of(weights, inputs, targets):
        return loss(functional_call(network, weights, inputs), targets)

    return Setting(network, loss, loss_of, tasks)


def training(workload, setting, backward) -> Runner:
    """A `Runner` of `backward`, which leaves a meta-gradient in the network and returns a loss.

    The loss is a tensor until the step is done: on a GPU its number would be waited for.
    """
    network = setting.network
    optimizer = torch.optim.Adam(network.parameters(), workload.outer_rate, eps=1e-7)

    def answer():
        optimizer.zero_grad()
        loss = backward()
        return loss, [network.to_keras(weight.grad) for weight in network.parameters()]

    def step():
        optimizer.zero_grad()
        loss = backward()
        optimizer.step()
        return float(loss)

    return Runner(answer, step)


def leave_gradient(network, gradients):
    """Puts gradients by name where the optimiser looks for them."""
    for name, parameter in network.named_parameters():
        parameter.grad = gradients[name].detach()
