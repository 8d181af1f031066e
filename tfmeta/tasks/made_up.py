"""Made-up examples that are no images: windows of a sensor, and short texts of word numbers."""

import functools

import numpy as np

from tfmeta.tasks.from_arrays import from_arrays
from tfmeta.tasks.stream import TaskStream

_CLASSES, _EXAMPLES = 60, 40


def sensor_windows(
    split: str = "train",
    ways: int = 5,
    shots: int = 1,
    queries: int = 5,
    seed: int = 0,
    count: int | None = None,
    start: int = 0,
) -> TaskStream:
    """A stream of tasks that tell movements apart by windows of three sensors.

    Each of 60 movements has two frequencies and its own strength in each sensor; a window of 64
    steps begins anywhere in it, and has noise. 36 movements are for training, 12 each for
    validation and test.

    Example:

    >>> import tfmeta
    >>> (support_x, _, _), _ = tfmeta.tasks.sensor_windows(ways=3).sample(0)
    >>> support_x.shape
    TensorShape([3, 64, 3])

    Args:
        split: "train", "validation", "test" or "all".
        ways: movements a task.
        shots: support windows a movement.
        queries: query windows a movement.
        seed: task i is a function of (seed, i).
        count: number of tasks; None for an endless stream.
        start: index of the first task.

    Returns:
        A `TaskStream` of windows float32 [N, 64, 3] and labels int32 [N].
    """
    windows, labels = _windows()
    sizes = (ways, shots, queries, seed, count, start)
    return from_arrays(windows, labels, split, *sizes, name="sensor_windows", dtype="float32")


def short_texts(
    split: str = "train",
    ways: int = 5,
    shots: int = 1,
    queries: int = 5,
    seed: int = 0,
    count: int | None = None,
    start: int = 0,
) -> TaskStream:
    """A stream of tasks that tell topics of short texts apart.

    Words are numbers from 1 to 399; 0 fills a text up to 12 words. Words belong to 40 themes, a
    topic mixes three of them with words of any theme, and a text has 4 to 12 words. 36 of the 60
    topics are for training, 12 each for validation and test; their themes are the same.

    Example:

    >>> import tfmeta
    >>> (support_x, _, _), _ = tfmeta.tasks.short_texts(ways=3).sample(0)
    >>> support_x.shape, support_x.dtype
    (TensorShape([3, 12]), tf.int32)

    Args:
        split: "train", "validation", "test" or "all".
        ways: topics a task.
        shots: support texts a topic.
        queries: query texts a topic.
        seed: task i is a function of (seed, i).
        count: number of tasks; None for an endless stream.
        start: index of the first task.

    Returns:
        A `TaskStream` of word numbers int32 [N, 12] and labels int32 [N].
    """
    texts, labels = _texts()
    sizes = (ways, shots, queries, seed, count, start)
    return from_arrays(texts, labels, split, *sizes, name="short_texts")


@functools.cache
def _windows() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.RandomState(5)
    time = np.arange(64)[:, None, None]
    windows = []
    for _ in range(_CLASSES):
        frequency = generator.uniform(0.02, 0.25, size=2)
        strength = generator.normal(size=(2, 3))
        shift = generator.uniform(0, 2 * np.pi, size=(2, 3))
        begin = generator.uniform(0, 100, size=_EXAMPLES)[:, None, None, None]
        waves = np.sin(2 * np.pi * (begin + time) * frequency[:, None] + shift)
        windows.append((strength * waves).sum(axis=2))
    noise = 2.0 * generator.normal(size=(_CLASSES * _EXAMPLES, 64, 3))
    noisy = np.concatenate(windows) + noise
    return noisy.astype(np.float32), np.repeat(np.arange(_CLASSES), _EXAMPLES)


@functools.cache
def _texts() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.RandomState(6)
    texts = np.zeros((_CLASSES * _EXAMPLES, 12), np.int32)
    for topic in range(_CLASSES):
        themes = generator.choice(40, size=3, replace=False)
        for row in range(topic * _EXAMPLES, (topic + 1) * _EXAMPLES):
            number = generator.randint(4, 13)
            of_topic = generator.choice(themes, size=number) * 10 + generator.randint(
                10, size=number
            )
            any_theme = generator.randint(400, size=number)
            words = np.where(generator.uniform(size=number) < 0.7, of_topic, any_theme)
            texts[row, :number] = np.maximum(words, 1)
    return texts, np.repeat(np.arange(_CLASSES), _EXAMPLES)
