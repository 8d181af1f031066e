"""What the demo page makes of drawings, by its own JavaScript under node."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np

SCRIPT = Path(__file__).with_suffix(".mjs")
BITMAP_SIZE, IMAGE_SIZE = 105, 28


def of_strokes(drawings) -> np.ndarray:
    """Returns float32 [N, 28, 28, 1], ink 1: each drawing centred and scaled, as on the page.

    Args:
        drawings: N lists of strokes, a stroke a list of points [x, y], 0 to 1.
    """
    return _tensors(_ask("strokes", drawings=drawings))


def of_unplaced_strokes(drawings, pen_width=None) -> tuple[np.ndarray, np.ndarray]:
    """The same of strokes as they are, and their bitmaps, bool [N, 105, 105], true for ink."""
    width = {} if pen_width is None else {"penWidth": pen_width}
    answer = _ask("unplaced", drawings=drawings, **width)
    pixels = np.frombuffer(base64.b64decode(answer["bitmaps"]), np.uint8)
    return _tensors(answer), pixels.reshape(-1, BITMAP_SIZE, BITMAP_SIZE) == 0


def of_bitmaps(bitmaps) -> np.ndarray:
    """Returns float32 [N, 28, 28, 1] of uint8 [N, 105, 105], ink 0 on paper 255."""
    pixels = np.ascontiguousarray(bitmaps, np.uint8).tobytes()
    return _tensors(_ask("bitmaps", bitmaps=base64.b64encode(pixels).decode()))


def of_examples(ways, seeds) -> tuple[np.ndarray, np.ndarray, list]:
    """The page's examples: supports [N, ways, 28, 28, 1], queries [N, 28, 28, 1], labels."""
    answer = _ask("examples", ways=ways, seeds=list(seeds))
    drawings = _tensors(answer).reshape(-1, ways + 1, IMAGE_SIZE, IMAGE_SIZE, 1)
    return drawings[:, :ways], drawings[:, ways], answer["labels"]


def _tensors(answer):
    numbers = np.frombuffer(base64.b64decode(answer["tensors"]), np.float32)
    return numbers.reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 1)


def _ask(task, **given):
    node = shutil.which("node")
    if node is None:
        raise FileNotFoundError(
            "The demo's page runs under node here. Received: no `node` on the PATH. Install "
            "Node.js 18 or newer."
        )
    done = subprocess.run(
        [node, str(SCRIPT)],
        input=json.dumps({"task": task, **given}),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"node failed on task {task!r}:\n{done.stderr}")
    return json.loads(done.stdout)
