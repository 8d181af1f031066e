"""Episodes of drawings in several conditions, answered by an export as the demo page asks it."""

from pathlib import Path

import numpy as np
import tensorflow as tf

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "tfmeta" / "serve" / "demo" / "model" / "1"
SIGNATURE = "adapt_and_predict_with"
MOVED = {"sizes": (0.7, 1.2), "edge": 0.02, "seed": 1}  # a person's other sizes and places


def move(drawing, random):
    """The drawing in another size and elsewhere on the pad, whole."""
    points = np.concatenate([np.asarray(stroke) for stroke in drawing])
    low, high = points.min(0), points.max(0)
    room = 1 - 2 * MOVED["edge"]
    size = min(random.uniform(*MOVED["sizes"]), room / max((high - low).max(), 1e-6))
    half = (high - low) / 2 * size
    centre = random.uniform(MOVED["edge"] + half, 1 - MOVED["edge"] - half + 1e-9)
    middle = (low + high) / 2
    return [((np.asarray(stroke) - middle) * size + centre).tolist() for stroke in drawing]


def compare_episodes(signature, conditions, characters, ways, count, steps):
    """Yields accuracy in per cent with 95 % interval, and the paired difference to the images."""
    random = np.random.default_rng(ways)
    episodes = []
    for _ in range(count):
        taken = random.choice(characters.max() + 1, ways, replace=False)
        picks = [
            random.choice(np.flatnonzero(characters == one), 2, replace=False) for one in taken
        ]
        episodes.append(np.transpose(picks))
    reference = None
    for condition, images in conditions.items():
        right = np.array([accuracy(signature, images, *episode, steps) for episode in episodes])
        reference = right if reference is None else reference
        row = {"ways": ways, "drawings": condition, "accuracy": interval(right)}
        if right is not reference:
            row["difference"] = interval(right - reference)
        yield row


def accuracy(signature, images, supports, queries, steps):
    """Of one episode: each class's query among the classes with an example."""
    labels = np.arange(len(supports), dtype=np.int32)
    logits = signature(
        support_inputs=tf.constant(images[supports]),
        support_targets=tf.constant(labels),
        query_inputs=tf.constant(images[queries]),
        inner_steps=tf.constant(steps, tf.int32),
        inner_rate_scale=tf.constant(1.0),
    )["logits"].numpy()
    return (logits[:, : len(labels)].argmax(1) == labels).mean()


def interval(shares):
    """Mean and half width of the 95 % interval, in per cent."""
    half = 1.96 * shares.std(ddof=1) / np.sqrt(len(shares))
    return [round(100 * float(shares.mean()), 2), round(100 * float(half), 2)]
