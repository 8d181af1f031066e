"""Made-up windows and texts."""

import numpy as np
import pytest

from tfmeta.tasks import sensor_windows, short_texts


@pytest.mark.parametrize(
    ("stream", "shape", "dtype"),
    [(sensor_windows, (64, 3), "float32"), (short_texts, (12,), "int32")],
)
def test_splits_share_no_class_and_examples_keep_shape_and_type(stream, shape, dtype):
    seen = {}
    for split, classes in (("train", 36), ("validation", 12), ("test", 12)):
        tasks = stream(split, ways=5, shots=2)
        assert tasks.info["classes"] == classes
        (support_x, _, query_x), query_y = next(iter(tasks.batch(50)))
        assert support_x.shape == (50, 10, *shape)
        assert (query_x.dtype.name, query_y.shape) == (dtype, (50, 25))
        seen[split] = {example.tobytes() for example in support_x.numpy().reshape(-1, *shape)}
    assert not set.intersection(*seen.values())


def test_texts_have_words_and_then_filling():
    (texts, _, _), _ = next(iter(short_texts().batch(50)))
    texts = texts.numpy().reshape(-1, 12)
    lengths = (texts > 0).sum(axis=1)
    assert set(lengths) <= set(range(4, 13))
    np.testing.assert_array_equal(texts > 0, np.arange(12) < lengths[:, None])
    assert texts.max() < 400
