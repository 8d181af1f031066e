"""Shows that `torch.func.vmap` over `nn.BatchNorm2d` has a wrong second derivative.

    python -m benchmarks.torch_vmap_derivatives [--write]

Needs PyTorch, numpy and absl only (`pip install torch numpy absl-py`, or the extra `benchmarks`).
MAML's meta-gradient of the Omniglot network in float64, by three ways:

- a loop over tasks with autograd,
- `torch.func.vmap` of `torch.func.grad` over the tasks,
- central finite differences of the loss after adaptation, in random directions: who is right.

The batch normalisation is PyTorch's own layer with the statistics of each batch. Beside it, the
same network with the normalisation written out as mean and variance, where all three agree.
`--write` stores results/torch_vmap_derivatives.json.
"""

import itertools
import json
import platform
import sys
from pathlib import Path

import torch
from absl import app, flags
from torch import nn
from torch.func import functional_call, grad, vmap

_SEEDS = flags.DEFINE_integer("seeds", 3, "Initialisations and tasks.", 1)
_WRITE = flags.DEFINE_bool("write", False, "Store results/torch_vmap_derivatives.json.")
RESULT = Path(__file__).parents[1] / "results" / "torch_vmap_derivatives.json"
INNER_RATE, TASKS, WAYS = 0.4, 4, 5
STEPS = (1, 3)
WIDTHS = (1e-4, 1e-5, 1e-6)  # of finite differences; the two that agree best are taken


class WrittenOut(nn.Module):
    """Batch normalisation by the batch's statistics, from elementary operations."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        """Normalises [N, C, H, W] over all axes but C."""
        mean = x.mean((0, 2, 3), keepdim=True)
        variance = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
        scaled = (x - mean) / torch.sqrt(variance + 1e-5)
        return scaled * self.weight[:, None, None] + self.bias[:, None, None]


def network(layer, seed):
    """Four convolutions of stride 2 and a dense layer, smooth, in float64."""
    torch.manual_seed(seed)
    blocks, channels = [], 1
    for _ in range(4):
        blocks += [nn.Conv2d(channels, 16, 3, stride=2, padding=1), layer(16), nn.Softplus()]
        channels = 16
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(16 * 4, WAYS)).double()


def objective(model, steps):
    """The query loss of one task after the inner steps, a function of the weights."""

    def loss(weights, x, y):
        return nn.functional.cross_entropy(functional_call(model, weights, (x,)), y)

    def after(weights, task):
        support_x, support_y, query_x, query_y = task
        for _ in range(steps):
            gradients = grad(loss)(weights, support_x, support_y)
            weights = {name: w - INNER_RATE * gradients[name] for name, w in weights.items()}
        return loss(weights, query_x, query_y)

    return after


def flat(tree):
    """A dict of tensors as one vector."""
    return torch.cat([tensor.reshape(-1) for tensor in tree.values()])


def moved(weights, direction, length):
    """Weights moved along a direction."""
    return {name: weight + length * direction[name] for name, weight in weights.items()}


def compared(layer, steps, seed) -> dict:
    """How far the loop and vmap are from each other and from finite differences."""
    model = network(layer, seed)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, TASKS, WAYS, 1, 28, 28, dtype=torch.float64, generator=generator)
    labels = torch.arange(WAYS).expand(TASKS, WAYS)
    tasks = (images[0], labels, images[1], labels)
    after = objective(model, steps)

    def mean_of_loop(at):
        losses = [after(at, tuple(part[i] for part in tasks)) for i in range(TASKS)]
        return torch.stack(losses).mean()

    def mean_of_vmap(at):
        return vmap(after, in_dims=(None, 0))(at, tasks).mean()

    loop, mapped = flat(grad(mean_of_loop)(weights)), flat(grad(mean_of_vmap)(weights))
    rows = []
    for _ in range(3):
        direction = {
            name: torch.randn(w.shape, dtype=w.dtype, generator=generator)
            for name, w in weights.items()
        }
        slopes = []
        for width in WIDTHS:
            ends = [mean_of_loop(moved(weights, direction, end)) for end in (width, -width)]
            slopes.append(float(ends[0] - ends[1]) / (2 * width))
        pairs = [(abs(a - b), (a + b) / 2) for a, b in itertools.pairwise(slopes)]
        spread, slope = min(pairs)
        along = flat(direction)
        scale = float(loop.norm() * along.norm()) / len(along) ** 0.5
        rows.append(
            {
                "finite_differences_spread": spread / scale,
                "loop": abs(float(loop @ along) - slope) / scale,
                "vmap": abs(float(mapped @ along) - slope) / scale,
            }
        )
    return {
        "layer": layer.__name__,
        "inner_steps": steps,
        "seed": seed,
        "vmap_minus_loop": float((mapped - loop).norm() / loop.norm()),
        "distance_from_finite_differences": {
            name: max(row[name] for row in rows) for name in rows[0]
        },
    }


def batch_norm(channels):
    """PyTorch's layer, by the batch's statistics in every mode."""
    return nn.BatchNorm2d(channels, track_running_stats=False)


batch_norm.__name__ = "BatchNorm2d"


def main(argv):
    del argv
    torch.set_num_threads(1)  # the operations are small
    rows = []
    for layer in (batch_norm, WrittenOut):
        for steps in STEPS:
            for seed in range(_SEEDS.value):
                rows.append(compared(layer, steps, seed))
                print(json.dumps(rows[-1]), flush=True)
    if _WRITE.value:
        arguments = " ".join(["python -m benchmarks.torch_vmap_derivatives", *sys.argv[1:]])
        document = {
            "command": arguments,
            "what": "norm of the difference of MAML's meta-gradient over the loop's, float64; "
            "slopes in three directions beside finite differences",
            "versions": {"torch": torch.__version__, "python": platform.python_version()},
            "rows": rows,
        }
        RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
