"""Glyphs: characters of random strokes, drawn by this program; few-shot classification offline.

A character is two to four quadratic Bezier curves between random points. Each drawing of it moves
the control points a little, then turns, shears, stretches and shifts the whole, and has its own
pen width. Only additions, products, quotients and square roots of numpy's frozen `RandomState` are
used, no library's sine, so that the images are the same on every machine.
"""

import functools

import numpy as np

from tfmeta.tasks.episodes import classification_stream
from tfmeta.tasks.pool import Pool
from tfmeta.tasks.splits import SPLITS
from tfmeta.tasks.stream import TaskStream, check_choice, check_whole_number

VERSION = 1
CLASSES = {"train": 160, "validation": 40, "test": 80}
POINTS = 28  # a stroke is drawn by this many dots
WOBBLE = 0.09  # how far a control point of a drawing strays, in image widths
TURN = 0.16  # tangent of half the largest angle: 18 degrees
STRETCH = 0.2  # largest change of width or height
SHEAR = 0.2
SHIFT = 0.08  # in image widths


def glyphs(
    split: str = "train",
    ways: int | tuple[int, int] = 5,
    shots: int | tuple[int, int] | str = 1,
    queries: int = 15,
    seed: int = 0,
    count: int | None = None,
    start: int = 0,
    *,
    label_scope: str = "task",
    image_size: int = 28,
    drawings: int = 20,
) -> TaskStream:
    """A stream of few-shot classification tasks of procedurally drawn characters.

    Splits share no character: 160 for training, 40 for validation, 80 for testing. Nothing is
    read or downloaded; the drawings of a split take about a second, once a process.

    Example:

    >>> import tfmeta
    >>> test = tfmeta.tasks.glyphs("test", ways=5, shots=1, queries=3, seed=1, count=32).batch(8)
    >>> (support_x, support_y, query_x), query_y = next(iter(test))
    >>> support_x.shape, query_x.shape
    (TensorShape([8, 5, 28, 28, 1]), TensorShape([8, 15, 28, 28, 1]))

    Args:
        split: "train", "validation" or "test".
        ways: classes a task, or the least and the most, of which each task draws a number.
        shots: support drawings a class; or the least and the most, of which each task draws one;
            or "meta_dataset", as Meta-Dataset draws them (`docs/guides/any_ways.md`). Tasks of
            different sizes are padded, with weights that say so.
        queries: query drawings a class; with "meta_dataset" at most so many.
        seed: task i is a function of (seed, i).
        count: number of tasks; None for an endless stream.
        start: index of the first task.
        label_scope: "task": labels 0 .. ways - 1, drawn anew for each task; "split": the position
            of a class among those of the split (for training one classifier of all classes).
        image_size: height and width of a drawing.
        drawings: drawings a character.

    Returns:
        A `TaskStream` of images float32 [N, image_size, image_size, 1] in [0, 1], ink 1 on
        paper 0, and labels int32 [N].

    Raises:
        ValueError: for an impossible argument.
    """
    check_choice("split", split, SPLITS)
    check_whole_number("image_size", image_size, 4)
    check_whole_number("drawings", drawings, 1)
    return classification_stream(
        glyph_pool(split, image_size, drawings),
        name="glyphs",
        split=split,
        ways=ways,
        shots=shots,
        queries=queries,
        seed=seed,
        count=count,
        start=start,
        label_scope=label_scope,
        # "invert": as that of `omniglot`: a scan, ink on paper, becomes a drawing by inverting.
        details={"version": VERSION, "drawings": drawings, "invert": True},
    )


@functools.lru_cache(maxsize=8)
def glyph_pool(split: str, image_size: int = 28, drawings: int = 20) -> Pool:
    """Returns all drawings of a split, uint8 [classes * drawings, image_size, image_size, 1]."""
    first = sum(CLASSES[earlier] for earlier in SPLITS[: SPLITS.index(split)])
    characters = range(first, first + CLASSES[split])
    images = [_draw_character(character, image_size, drawings) for character in characters]
    names = tuple(f"glyph_{character:03d}" for character in characters)
    return Pool(np.concatenate(images), np.full(len(names), drawings), names)


def _draw_character(character: int, image_size: int, drawings: int) -> np.ndarray:
    """uint8 [drawings, image_size, image_size, 1]; character and drawing decide it alone."""
    random = np.random.RandomState([VERSION, character])
    strokes = random.randint(2, 5)
    # Ends and handle of each stroke, in image widths from the centre: [1, strokes, 3, 2].
    controls = random.uniform(-0.38, 0.38, (1, strokes, 3, 2))
    controls[:, :, 1] *= 1.6
    controls = controls + random.uniform(-WOBBLE, WOBBLE, (drawings, strokes, 3, 2))
    dots = _transform(_curve(controls), random, drawings)
    pen = random.uniform(0.028, 0.045, (drawings, 1, 1))
    return _ink(dots, pen, image_size)


def _curve(controls: np.ndarray) -> np.ndarray:
    """Dots [drawings, strokes * POINTS, 2] along quadratic Bezier curves."""
    t = np.linspace(0.0, 1.0, POINTS)[:, None]
    begin, handle, end = (controls[:, :, None, part] for part in range(3))
    dots = (1 - t) * (1 - t) * begin + 2 * t * (1 - t) * handle + t * t * end
    return dots.reshape(len(controls), -1, 2)


def _transform(dots: np.ndarray, random: np.random.RandomState, drawings: int) -> np.ndarray:
    """Turns, shears, stretches and shifts each drawing's dots."""
    half = random.uniform(-TURN, TURN, (drawings, 1))
    cosine, sine = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    shear = random.uniform(-SHEAR, SHEAR, (drawings, 1))
    width, height = random.uniform(1 - STRETCH, 1 + STRETCH, (2, drawings, 1))
    shift_x, shift_y = random.uniform(-SHIFT, SHIFT, (2, drawings, 1))
    x, y = dots[..., 0], dots[..., 1]
    x, y = width * (x + shear * y), height * y
    return np.stack([cosine * x - sine * y + shift_x, sine * x + cosine * y + shift_y], axis=-1)


def _ink(dots: np.ndarray, pen: np.ndarray, image_size: int) -> np.ndarray:
    """Ink where a dot is nearer than the pen's half width, with a soft edge of one pixel."""
    centres = (np.arange(image_size) + 0.5) / image_size - 0.5
    across = (centres - dots[:, :, 0, None]) ** 2  # [drawings, dots, width]
    down = (centres - dots[:, :, 1, None]) ** 2
    nearest = np.full((len(dots), image_size, image_size), np.inf)
    for dot in range(dots.shape[1]):
        np.minimum(nearest, down[:, dot, :, None] + across[:, dot, None, :], out=nearest)
    cover = np.clip((pen - np.sqrt(nearest)) * image_size + 0.5, 0.0, 1.0)
    return np.floor(cover * 255 + 0.5).astype(np.uint8)[..., None]
