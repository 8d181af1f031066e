"""Replays held-out Omniglot characters on the demo's path, and compares with the test set.

    TFMETA_DATA_DIR=... python -m benchmarks.demo_replay [--write]

Bitmaps: each drawing of the 423 test characters, through the page's own functions, must be the
test set's image to the last bit. Strokes: of the test characters whose pen strokes are published,
episodes of one example and one query a class are answered from the test set's images, from the
strokes where they are, and from the strokes as the page places them: the same drawings, so the
differences are paired. "Moved" draws each anew elsewhere on the pad and in another size, as a
person would. Absent classes of 3-way episodes are left out of the model's five. It needs the
strokes in `$TFMETA_DATA_DIR/omniglot_strokes`, and node. `--write` stores the figures in
results/demo_replay.json. Pen and placement were chosen on other characters
(benchmarks/demo_pen.py), after the gain of placing at all had been seen here and found again there.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import demo_drawings, demo_episodes, demo_tensors, report

_WRITE = flags.DEFINE_bool("write", False, "Store the figures in results/demo_replay.json.")
_EPISODES = flags.DEFINE_integer("episodes", 600, "Episodes of each number of ways.", 2)
_MODEL = flags.DEFINE_string("model", None, "Version directory; default: the shipped model.")
_STEPS = flags.DEFINE_integer("inner_steps", 5, "Inner steps, as the page's slider begins.", 0)
RESULT = demo_episodes.ROOT / "results" / "demo_replay.json"
AT_ONCE = 25  # characters that node takes in one piece


def main(argv):
    del argv
    model = Path(_MODEL.value or demo_episodes.SHIPPED)
    images, names = demo_drawings.images_of("test")
    bitmaps = demo_drawings.bitmaps_of(names)
    strokes = demo_drawings.strokes_of(names)
    record = {
        "command": report.command("benchmarks.demo_replay", sys.argv[1:]),
        "model": json.loads((model / "assets.extra" / "tfmeta.json").read_text())["extra"],
        "inner_steps": _STEPS.value,
        "bitmaps": compare_bitmaps(images, names, bitmaps),
    }
    print(json.dumps(record["bitmaps"]), flush=True)
    conditions, characters, record["strokes"] = replayed(strokes, bitmaps)
    print(json.dumps(record["strokes"]), flush=True)
    signature = tf.saved_model.load(str(model)).signatures[demo_episodes.SIGNATURE]
    record["episodes"] = []
    for ways in (5, 3):
        rows = demo_episodes.compare_episodes(
            signature, conditions, characters, ways, _EPISODES.value, _STEPS.value
        )
        for row in rows:
            record["episodes"].append(row)
            print(json.dumps(row), flush=True)
    record["machine"] = report.machine()
    if _WRITE.value:
        RESULT.write_text(json.dumps(record, indent=1) + "\n")


def compare_bitmaps(images, names, bitmaps):
    """How many of the test set's images the page makes again, bit for bit."""
    made = []
    for first in range(0, len(names), AT_ONCE):
        some = np.concatenate([bitmaps[name] for name in names[first : first + AT_ONCE]])
        made.append(demo_tensors.of_bitmaps(some).reshape(-1, *images.shape[1:]))
    equal = 0
    for of_character, its_own in zip(images, np.concatenate(made), strict=True):
        # Within a character the pool is sorted by content.
        want = sorted(image.tobytes() for image in of_character)
        equal += sum(a == b for a, b in zip(want, sorted(map(bytes, its_own)), strict=True))
    return {"characters": len(names), "drawings": images[:, :, 0, 0].size, "bit_for_bit": equal}


def replayed(strokes, bitmaps):
    """The same drawings in each condition.

    Returns:
        ({condition: float32 [N, 28, 28, 1]}, int [N] characters, figures of the pairing).
    """
    drawings = [drawing for name in strokes for drawing in strokes[name]]
    characters = np.repeat(np.arange(len(strokes)), [len(strokes[name]) for name in strokes])
    unplaced, ink = demo_tensors.of_unplaced_strokes(drawings)
    originals, shares = [], []
    for character, name in enumerate(strokes):
        positions, common = demo_drawings.pair(ink[characters == character], bitmaps[name])
        originals.append(bitmaps[name][positions])
        shares.append(common)
    shares = np.concatenate(shares)
    random = np.random.default_rng(demo_episodes.MOVED["seed"])
    moved = [demo_episodes.move(drawing, random) for drawing in drawings]
    conditions = {
        "test set's images": demo_tensors.of_bitmaps(np.concatenate(originals)),
        "strokes where they are": unplaced,
        "strokes as the page places them": demo_tensors.of_strokes(drawings),
        "moved strokes where they are": demo_tensors.of_unplaced_strokes(moved)[0],
        "moved strokes as the page places them": demo_tensors.of_strokes(moved),
    }
    off = np.abs(conditions["test set's images"] - unplaced).mean()
    figures = {
        "characters": len(strokes),
        "drawings": len(drawings),
        "ink_in_common_with_bitmap_median": round(float(np.median(shares)), 3),
        "ink_in_common_below_half": int((shares < 0.5).sum()),
        "mean_absolute_difference_of_28x28": round(float(off), 4),
        "mean_ink_of_images": round(float(conditions["test set's images"].mean()), 4),
        "mean_ink_of_strokes": round(float(unplaced.mean()), 4),
        "moved": demo_episodes.MOVED,
    }
    return conditions, characters, figures


if __name__ == "__main__":
    app.run(main)
