"""The algorithms of tfmeta in PyTorch, written from the papers and independent of tfmeta.

Writes the stored reference values: `python -m tests.references.pytorch_reference`, with any
interpreter that has torch and numpy, from the root of the repository. With `--check` it compares
itself with what is stored instead, and exits with 1 where they differ.
"""

import json
import platform
import re
import sys

import numpy as np
import torch
import torch.nn.functional as F

from tests.references import problems


def network(problem, weights, images):
    """Logits [N, ways] of images [N, h, w, c]; `weights` by path, kernels as Keras keeps them."""
    x = images.permute(0, 3, 1, 2)
    for block in range(1, 5):
        kernel = weights[f"conv_{block}/kernel"].permute(3, 2, 0, 1)
        stride = 1 if problem.pooled else 2
        x = F.conv2d(_pad_same(x, stride), kernel, weights[f"conv_{block}/bias"], stride)
        mean = x.mean((0, 2, 3), keepdim=True)
        variance = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
        x = (x - mean) / torch.sqrt(variance + problems.BATCH_NORM_EPSILON)
        x = torch.relu(x + weights[f"norm_{block}/beta"][:, None, None])
        if problem.pooled:
            x = F.max_pool2d(x, 2)
    x = x.permute(0, 2, 3, 1).flatten(1) if problem.pooled else x.mean((2, 3))
    return x @ weights["head/kernel"] + weights["head/bias"]


def _pad_same(x, stride):
    """Pads for a 3 x 3 kernel so that the output has ceil(size / stride) rows, as TensorFlow."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + 3 - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


def loss(problem, weights, images, labels):
    return F.cross_entropy(network(problem, weights, images), labels)


def adapt(problem, case, weights, rates, images, labels):
    """Adapted weights by path, and the support loss before each step."""
    create_graph = case.algorithm in ("maml", "anil", "meta_sgd")
    start, losses = weights, []
    if case.algorithm == "reptile_adam":
        return _adapt_by_adam(problem, case, weights, images, labels)
    for _ in range(case.inner_steps):
        adapted = [p for p in weights if case.algorithm != "anil" or p.startswith("head/")]
        value = loss(problem, weights, images, labels)
        losses.append(value.item())
        gradients = torch.autograd.grad(
            value, [weights[p] for p in adapted], create_graph=create_graph
        )
        moved = dict(weights)
        for path, gradient in zip(adapted, gradients, strict=True):
            if case.regularization:
                gradient = gradient + case.regularization * (weights[path] - start[path])
            moved[path] = weights[path] - rates[path] * gradient
        weights = moved
    return weights, losses


def _adapt_by_adam(problem, case, weights, images, labels):
    leaves = {p: w.detach().clone().requires_grad_() for p, w in weights.items()}
    optimizer = torch.optim.Adam(leaves.values(), case.inner_rate, betas=(0.0, 0.999), eps=1e-8)
    losses = []
    for _ in range(case.inner_steps):
        optimizer.zero_grad()
        value = loss(problem, leaves, images, labels)
        losses.append(value.item())
        value.backward()
        optimizer.step()
    return leaves, losses


def task_gradient(problem, case, weights, rates, task):
    """The meta-gradient of one task by path, its query logits, losses on query and support."""
    support_x, support_y, query_x, query_y = task
    adapted, support_losses = adapt(problem, case, weights, rates, support_x, support_y)
    logits = network(problem, adapted, query_x)
    query_loss = F.cross_entropy(logits, query_y)
    if case.algorithm.startswith("reptile"):
        gradient = {p: (weights[p] - adapted[p]) for p in weights}
    elif case.algorithm == "imaml":
        gradient = _implicit(problem, case, adapted, support_x, support_y, query_loss)
    else:
        parameters = dict(weights)
        if case.algorithm == "meta_sgd":
            parameters |= {f"rate/{p}": rate for p, rate in rates.items()}
        values = torch.autograd.grad(query_loss, list(parameters.values()))
        gradient = dict(zip(parameters, values, strict=True))
    gradient = {p: value.detach() for p, value in gradient.items()}
    return gradient, logits.detach(), query_loss.item(), support_losses


def _implicit(problem, case, adapted, support_x, support_y, query_loss):
    """(I + H / lambda)^-1 g by conjugate gradients; H: Hessian of the support loss there."""
    leaves = list(adapted.values())
    sizes = [leaf.numel() for leaf in leaves]
    flatten = lambda tensors: torch.cat([tensor.reshape(-1) for tensor in tensors])  # noqa: E731
    right = flatten(torch.autograd.grad(query_loss, leaves)).detach()
    support_loss = loss(problem, adapted, support_x, support_y)
    first = torch.autograd.grad(support_loss, leaves, create_graph=True)

    def operator(vector):
        parts = [p.view_as(w) for p, w in zip(vector.split(sizes), leaves, strict=True)]
        product = torch.autograd.grad(first, leaves, parts, retain_graph=True)
        return vector + flatten(product) / case.regularization

    solution = torch.zeros_like(right)
    residual = direction = right
    target = 1e-13 if right.dtype == torch.float64 else 1e-6
    for _ in range(200):
        mapped = operator(direction)
        curvature = direction @ mapped
        if curvature <= 0:
            raise ArithmeticError("I + H / lambda must be positive definite: raise lambda.")
        step = (residual @ residual) / curvature
        solution = solution + step * direction
        remaining = residual - step * mapped
        if remaining.norm() <= target * right.norm():
            break
        direction = remaining + (remaining @ remaining) / (residual @ residual) * direction
        residual = remaining
    parts = solution.split(sizes)
    return {p: part.view_as(w) for part, (p, w) in zip(parts, adapted.items(), strict=True)}


def meta_gradient(problem, case, dtype=torch.float64):
    """Means over the problem's tasks, as numpy arrays by path; logits [T, Q, ways]; losses."""
    tensor = lambda array: torch.tensor(array, dtype=dtype, requires_grad=True)  # noqa: E731
    weights = {p: tensor(w) for p, w in problem.weights().items()}
    rates = dict.fromkeys(weights, case.inner_rate)
    if case.algorithm == "meta_sgd":
        rates = {p: tensor(rate) for p, rate in problem.rates().items()}
    arrays = [
        torch.tensor(array, dtype=dtype if array.dtype == np.float64 else torch.int64)
        for array in problem.batch()
    ]
    results = [
        task_gradient(problem, case, weights, rates, task) for task in zip(*arrays, strict=True)
    ]
    gradients, logits, query_losses, support_losses = zip(*results, strict=True)
    mean = {p: np.mean([g[p].numpy() for g in gradients], axis=0) for p in gradients[0]}
    return {
        "gradient": mean,
        "query_outputs": torch.stack(logits).numpy(),
        "query_loss": float(np.mean(query_losses)),
        "support_losses": np.mean(support_losses, axis=0).tolist(),
    }


def reference(problem, case) -> dict:
    """What is stored of a case: fingerprints in float64, and how far float32 is from it."""
    exact = meta_gradient(problem, case)
    single = meta_gradient(problem, case, torch.float32)
    if case.algorithm == "reptile_adam":
        # A bias before batch normalisation has a gradient of 0: Adam divides rounding by epsilon.
        for path in [p for p in exact["gradient"] if p.startswith("conv_") and "bias" in p]:
            del exact["gradient"][path]
    return {
        "query_loss": exact["query_loss"],
        "support_losses": exact["support_losses"],
        "query_outputs": problems.fingerprint("query_outputs", exact["query_outputs"]),
        "gradient": {p: problems.fingerprint(p, g) for p, g in exact["gradient"].items()},
        "float32_distance": problems.distance(single["gradient"], exact["gradient"]),
    }


def main():
    torch.set_num_threads(1)
    check = "--check" in sys.argv
    worst = 0.0
    for problem in problems.PROBLEMS.values():
        cases = {case.name: reference(problem, case) for case in problem.cases()}
        for name, case in cases.items():
            note = f"float32 distance {case['float32_distance']:.1e}"
            if check:
                expected = problems.stored(problem.name)[name]
                difference = problems.case_distance(case, expected)
                worst = max(worst, difference)
                note = f"{difference:.1e} from the stored values"
            print(f"{problem.name} {name}: {note}")
        if not check:
            _write(problem, cases)
    return int(worst > problems.TOLERANCE)


def _write(problem, cases):
    document = {
        "command": "python -m tests.references.pytorch_reference",
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "cases": cases,
    }
    text = json.dumps(document, indent=1)
    # Each list on one line, and no digits beyond float64's last but two.
    text = re.sub(r"\[[^\[\]]*\]", lambda match: " ".join(match[0].split()), text)
    text = re.sub(r"-?\d\.\d{13,}(e-\d+)?", lambda match: f"{float(match[0]):.13g}", text)
    (problems.FOLDER / f"{problem.name}.json").write_text(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
