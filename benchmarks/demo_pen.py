"""Measures what the demo page's constants should be, on characters that no result is reported on.

    TFMETA_DATA_DIR=... python -m benchmarks.demo_pen [--write]

On training characters whose pen strokes are published: the pen's width with which strokes and
bitmaps of the same drawings have most ink in common, and the usual size and place of a drawing.
On validation characters: the accuracy of 5-way 1-shot episodes of drawings that a person made
elsewhere on the pad and in another size, by how the page places them. `--write` stores the
figures in results/demo_pen.json.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import demo_drawings, demo_episodes, demo_tensors, report

_MODEL = flags.DEFINE_string("model", None, "Version directory; default: the shipped model.")
_STEPS = flags.DEFINE_integer("inner_steps", 5, "Inner steps, as the page's slider begins.", 0)
_WRITE = flags.DEFINE_bool("write", False, "Store the figures in results/demo_pen.json.")
RESULT = demo_episodes.ROOT / "results" / "demo_pen.json"
WIDTHS = (4.3, 4.6, 4.7, 4.8, 4.9, 5.0, 5.1, 5.4)
EVERY = 3  # characters of all alphabets, enough for the pen's mean
SIDES = (0.5, 0.61, 0.75)
CENTRE = 0.486
EPISODES = 400


def main(argv):
    del argv
    model = Path(_MODEL.value or demo_episodes.SHIPPED)
    _, names = demo_drawings.images_of("train")
    strokes = demo_drawings.strokes_of(names)
    some = {name: strokes[name] for name in sorted(strokes)[::EVERY]}
    record = {
        "command": report.command("benchmarks.demo_pen", sys.argv[1:]),
        "training_characters": len(strokes),
        "of_these_for_the_pen": len(some),
        "ink_in_common_by_pen_width": common_ink(some),
        **boxes(strokes),
    }
    print(json.dumps(record), flush=True)
    signature = tf.saved_model.load(str(model)).signatures[demo_episodes.SIGNATURE]
    description = json.loads((model / "assets.extra" / "tfmeta.json").read_text())
    record["recipe"] = description["extra"]["recipe"]
    record["placements"] = []
    for row in placements(signature, _STEPS.value):
        record["placements"].append(row)
        print(json.dumps(row), flush=True)
    record["machine"] = report.machine()
    if _WRITE.value:
        RESULT.write_text(json.dumps(record, indent=1) + "\n")


def common_ink(strokes):
    """Mean share of ink in common of strokes and bitmap, by the pen's width."""
    bitmaps = demo_drawings.bitmaps_of(strokes)
    shares = {}
    for width in WIDTHS:
        found = []
        for name, drawings in strokes.items():
            _, ink = demo_tensors.of_unplaced_strokes(drawings, width)
            found.append(demo_drawings.pair(ink, bitmaps[name])[1])
        shares[str(width)] = round(float(np.concatenate(found).mean()), 4)
    return shares


def boxes(strokes):
    """Mean longer side and centre of the box around a drawing, as shares of the pad."""
    found = [box(drawing) for drawings in strokes.values() for drawing in drawings]
    low, high = np.transpose(found, (1, 0, 2))
    return {
        "longer_side": round(float((high - low).max(1).mean()), 3),
        "centre": ((low + high) / 2).mean(0).round(3).tolist(),
    }


def box(drawing):
    """Upper left and lower right corner."""
    points = np.concatenate([np.asarray(stroke) for stroke in drawing])
    return points.min(0), points.max(0)


def placements(signature, steps):
    """Yields accuracy by placement, of drawings as they are and of drawings moved."""
    _, names = demo_drawings.images_of("validation")
    strokes = demo_drawings.strokes_of(names)
    drawings = [drawing for name in strokes for drawing in strokes[name]]
    characters = np.repeat(np.arange(len(strokes)), [len(strokes[name]) for name in strokes])
    random = np.random.default_rng(demo_episodes.MOVED["seed"])
    moved = [demo_episodes.move(drawing, random) for drawing in drawings]
    ways_of_placing = {
        "left where they are": lambda drawing: drawing,
        "centred": lambda drawing: placed(drawing, None),
        **{
            f"centred and scaled to {side}": lambda drawing, side=side: placed(drawing, side)
            for side in SIDES
        },
    }
    for kind, these in (("as drawn", drawings), ("moved", moved)):
        conditions = {
            f"{kind}, {name}": demo_tensors.of_unplaced_strokes([place(one) for one in these])[0]
            for name, place in ways_of_placing.items()
        }
        yield from demo_episodes.compare_episodes(
            signature, conditions, characters, 5, EPISODES, steps
        )


def placed(drawing, side):
    """The drawing centred, with this longer side, or its own where `side` is None."""
    low, high = box(drawing)
    scale = 1 if side is None else side / max((high - low).max(), 1e-6)
    middle = (low + high) / 2
    return [((np.asarray(stroke) - middle) * scale + CENTRE).tolist() for stroke in drawing]


if __name__ == "__main__":
    app.run(main)
