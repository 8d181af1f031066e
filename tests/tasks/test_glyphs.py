"""Glyphs: characters that are the same everywhere, differ from each other, and can be learned."""

import numpy as np
import pytest

import tfmeta
from tfmeta.tasks.glyphs import CLASSES, glyph_pool

SPLITS = ("train", "validation", "test")


def test_the_drawings_are_the_same_on_every_machine():
    assert glyph_pool("validation").sha256.startswith("0c1ad7814abd18ce")


def test_splits_share_no_character():
    pools = [glyph_pool(split) for split in SPLITS]
    names = [name for pool in pools for name in pool.class_names]
    assert len(set(names)) == len(names) == sum(CLASSES.values())
    images = {image.tobytes() for pool in pools for image in pool.images}
    assert len(images) == sum(len(pool.images) for pool in pools)


def test_every_drawing_has_ink_and_paper():
    share = (glyph_pool("test").images > 127).mean(axis=(1, 2, 3))
    assert share.min() > 0.01
    assert share.max() < 0.5


def test_the_nearest_neighbour_is_above_chance_and_far_from_perfect():
    stream = tfmeta.tasks.glyphs("test", ways=5, shots=1, queries=5, seed=0)
    (support_x, support_y, query_x), query_y = next(iter(stream.batch(60)))
    support, query = support_x.numpy().reshape(60, 5, -1), query_x.numpy().reshape(60, 25, -1)
    distance = ((query[:, :, None] - support[:, None]) ** 2).sum(-1)
    answers = np.take_along_axis(support_y.numpy(), distance.argmin(-1), 1)
    assert 0.4 < (answers == query_y.numpy()).mean() < 0.75


def test_size_and_number_of_drawings_are_free():
    stream = tfmeta.tasks.glyphs("validation", ways=2, queries=20, image_size=14, drawings=21)
    assert stream.info["image_shape"] == [14, 14, 1]
    with pytest.raises(ValueError, match=r"1 \+ 20 examples\. Received: class 'glyph_160'"):
        tfmeta.tasks.glyphs("validation", queries=20)


def test_an_unknown_split_lists_the_splits():
    with pytest.raises(ValueError, match=r"'train', 'validation', 'test'\. Received: 'dev'"):
        tfmeta.tasks.glyphs("dev")
