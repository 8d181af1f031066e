"""A prototypical network trained by a loop in PyTorch, as the peer of `prototypical_start`.

    python -m benchmarks.prototypical_start_pytorch WEIGHTS.npz TASKS.npz LOSSES.json RATE

Needs PyTorch and numpy only. Support and query images go through the network as one batch, whose
own statistics normalise it, as in the authors' code.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

EPSILON = 1e-3  # of batch normalisation in Keras


def embedded(weights, images):
    """Embeddings [N, F] of images [N, C, H, W] by four blocks."""
    x = images
    for block in range(1, 5):
        x = F.conv2d(x, weights[f"conv_{block}/kernel"], weights[f"conv_{block}/bias"], padding=1)
        scale, centre = weights[f"norm_{block}/gamma"], weights[f"norm_{block}/beta"]
        x = F.batch_norm(x, None, None, scale, centre, True, eps=EPSILON)
        x = F.max_pool2d(torch.relu(x), 2)
    return x.flatten(1)


def query_loss(weights, images, labels, support):
    """Equations 1 and 2 of the paper for one task whose first `support` images are its examples."""
    embeddings = embedded(weights, images)
    classes = labels[:support].max() + 1
    prototypes = torch.stack(
        [embeddings[:support][labels[:support] == label].mean(0) for label in range(classes)]
    )
    distances = ((embeddings[support:, None] - prototypes) ** 2).sum(2)
    return F.cross_entropy(-distances, labels[support:])


def main(weights, tasks, losses, rate):
    """Trains on the tasks in order and writes the loss before each step."""
    with np.load(weights) as arrays:
        trained = {
            path: torch.tensor(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array)
            for path, array in arrays.items()
            if path.startswith(("conv", "norm")) and "moving" not in path
        }
    for weight in trained.values():
        weight.requires_grad_()
    optimizer = torch.optim.Adam(list(trained.values()), float(rate), eps=1e-7)
    found = []
    with np.load(tasks) as arrays:
        for step in range(len(arrays.files) // 2):
            images = torch.from_numpy(arrays[f"images_{step}"].astype(np.float32) / 255)
            labels = torch.from_numpy(arrays[f"labels_{step}"]).long()
            loss = query_loss(trained, images.permute(0, 3, 1, 2), labels, int(arrays["support"]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
    Path(losses).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
