"""The page's functions under node, and its images beside Pillow's, pixel by pixel."""

import pathlib
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from benchmarks import demo_tensors

FOLDER = pathlib.Path(__file__).parent
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="no `node` on the PATH (Node.js 18 or newer)")


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.test.mjs")))
def test_functions_of_the_page_behave_under_node(name):
    done = subprocess.run(
        [NODE, "--test", "--test-reporter=spec", str(FOLDER / name)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_shrinking_equals_pillow_to_the_last_bit():
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (20, 105, 105)).astype(np.uint8)
    bilevel = np.where(random.random((20, 105, 105)) < 0.2, 0, 255).astype(np.uint8)
    bitmaps = np.concatenate([noise, bilevel, np.zeros_like(noise[:1]), 255 + 0 * noise[:1]])

    tensors = demo_tensors.of_bitmaps(bitmaps)

    lanczos = Image.Resampling.LANCZOS
    images = [np.asarray(Image.fromarray(bitmap).resize((28, 28), lanczos)) for bitmap in bitmaps]
    # Bytes to numbers as the streams of tfmeta.tasks do.
    expected = (255 - np.stack(images)).astype(np.float32) * np.float32(1 / 255)
    np.testing.assert_array_equal(tensors[..., 0], expected)


def test_the_bitmap_of_a_drawing_is_what_the_network_reads():
    drawings = [[[[0.2, 0.3], [0.7, 0.8]], [[0.7, 0.2], [0.7, 0.5]]], [[[0.5, 0.5]]]]

    tensors, ink = demo_tensors.of_unplaced_strokes(drawings)

    assert ink.any(axis=(1, 2)).all()
    bitmaps = np.where(ink, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(tensors, demo_tensors.of_bitmaps(bitmaps))
