"""Omniglot: how characters are divided and turned; the real drawings where they are at hand."""

import importlib
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image

import tfmeta
from tfmeta.tasks.pool import Pool

omniglot_module = importlib.import_module("tfmeta.tasks.omniglot")


@pytest.fixture
def stand_in(cache, monkeypatch):
    """1623 characters x 20 drawings, whose upper left pixels say which and are marked there."""

    def read(data_dir):
        images = np.full((1623 * 20, 28, 28, 1), 100, np.uint8)
        character = np.repeat(np.arange(1623), 20)
        images[:, 0, 0, 0] = 255
        images[:, 0, 1, 0], images[:, 0, 2, 0] = character // 100, character % 100
        images[:, 0, 3, 0] = np.tile(np.arange(20), 1623)
        return Pool(images, np.full(1623, 20), tuple(f"c{k}" for k in range(1623)))

    monkeypatch.setattr(omniglot_module, "_read_characters", read)


def upright(images, invert):
    """Turns each image back by its mark; returns character, turn of each image [..., N]."""
    flat = np.rint(images.numpy().reshape(-1, 28, 28) * 255).astype(int)
    flat = 255 - flat if invert else flat
    found = []
    for image in flat:
        for turn in range(4):
            back = np.rot90(image, -turn)
            if back[0, 0] == 255:
                found.append((back[0, 1] * 100 + back[0, 2], turn))
    return np.asarray(found).reshape(*images.shape[:-3], 2)


def draw(split="train", invert=True, tasks=30, **options):
    """(character, turn) of support and query images, and their labels."""
    options = {"ways": 5, "shots": 2, "queries": 1} | options
    stream = tfmeta.tasks.omniglot(split, invert=invert, **options)
    (support_x, support_y, query_x), query_y = next(iter(stream.batch(tasks)))
    images = np.concatenate([upright(support_x, invert), upright(query_x, invert)], axis=1)
    return images, np.concatenate([support_y, query_y], axis=1)


def test_random_rotation_turns_each_class_of_a_task_and_repeats_no_character(stand_in):
    for split in ("train", "test"):
        images, labels = draw(split, rotations="random")
        for task, classes in zip(images, labels, strict=True):
            kinds = {(label, *image) for label, image in zip(classes, task, strict=True)}
            assert len(kinds) == 5
            assert len({character for _, character, _ in kinds}) == 5
        assert set(images[..., 1].ravel()) == {0, 1, 2, 3}


def test_rotations_as_classes_multiply_the_training_characters_only(stand_in):
    sizes = {"validation_classes": 0, "rotations": "classes"}
    train = tfmeta.tasks.omniglot("train", **sizes)
    assert train.info["classes"] == 4800
    assert tfmeta.tasks.omniglot("test", **sizes).info["classes"] == 423
    images, labels = draw("train", ways=200, **sizes)
    for task, classes in zip(images, labels, strict=True):
        assert len({(label, *image) for label, image in zip(classes, task, strict=True)}) == 200
    assert set(images[..., 1].ravel()) == {0, 1, 2, 3}
    assert any(len(set(task[:, 0])) < 200 for task in images)
    assert set(draw("test", **sizes)[0][..., 1].ravel()) == {0}


def test_a_turned_character_is_named_by_its_angle(stand_in):
    upright = omniglot_module.omniglot_pool("train", 0)
    turned = omniglot_module._rotations_as_classes(upright)
    assert len(set(turned.class_names)) == 4 * len(upright.class_names)
    drawing = upright.images[0]
    for turns in range(4):
        name = f"{upright.class_names[0]}@{90 * turns}"
        first = sum(turned.counts[: turned.class_names.index(name)])
        np.testing.assert_array_equal(turned.images[first], np.rot90(drawing, turns))


def test_no_rotation_leaves_the_drawings_upright(stand_in):
    assert set(draw(rotations=None)[0][..., 1].ravel()) == {0}


def test_ink_is_1_if_inverted_and_0_as_scanned(stand_in):
    pictures = []
    for invert in (True, False):
        stream = tfmeta.tasks.omniglot("train", invert=invert, rotations=None)
        pictures.append(stream.sample(0)[0][0].numpy())
        assert stream.info["data_sha256"] == omniglot_module.omniglot_pool("train").sha256
    np.testing.assert_allclose(pictures[0], 1 - pictures[1], atol=1e-6)


def test_splits_share_no_character_and_validation_comes_out_of_train(stand_in):
    names = {
        (split, validation): set(omniglot_module.omniglot_pool(split, validation).class_names)
        for split in ("train", "validation", "test")
        for validation in (0, 100)
        if (split, validation) != ("validation", 0)
    }
    assert len(names["train", 100]) == 1100
    assert len(names["validation", 100]) == 100
    assert len(names["test", 100]) == 423
    assert len(names["train", 0]) == 1200
    assert names["train", 0] == names["train", 100] | names["validation", 100]
    assert names["test", 0] == names["test", 100]
    assert not names["train", 0] & names["test", 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotations": "all"}, r"rotations must be one of None, 'classes', 'random'"),
        ({"split": "background"}, r"'train', 'validation', 'test'\. Received: 'background'"),
        ({"split": "validation", "validation_classes": 0}, "The validation split is empty"),
        ({"validation_classes": 1201}, r"out of the 1200 characters .* Received: 1201"),
        ({"queries": 20}, r"shots \+ queries = 1 \+ 20 examples. Received: class 'c\d+'"),
        ({"ways": 1101}, r"omniglot train, which has 1100\. Received: ways=1101"),
    ],
)
def test_impossible_arguments_are_refused(stand_in, options, message):
    with pytest.raises(ValueError, match=message):
        tfmeta.tasks.omniglot(**options)


@pytest.fixture
def offline(cache, monkeypatch):
    """A machine without a network, on which TFDS' preparation only says that it was asked."""
    import tensorflow_datasets as tfds

    def unreachable(*arguments, **options):
        raise urllib.error.URLError("network is unreachable")

    def prepare(*arguments, **options):
        raise RuntimeError("TFDS was asked")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", prepare)


def test_what_was_downloaded_is_prepared_without_a_network(offline, tmp_path):
    (tmp_path / "downloads").mkdir()
    with pytest.raises(FileNotFoundError, match="TFDS was asked"):
        tfmeta.tasks.omniglot("train", data_dir=tmp_path)


def test_without_data_and_network_the_error_says_what_to_do(offline, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"unreachable.* TFMETA_DATA_DIR") as error:
        tfmeta.tasks.omniglot("train", data_dir=tmp_path / "data")
    assert str(tmp_path / "data") in str(error.value)


def test_a_drawing_is_shrunk_by_the_named_filter():
    drawing = np.random.RandomState(0).randint(0, 256, (105, 105)).astype(np.uint8)
    expected = Image.fromarray(drawing).resize((28, 28), omniglot_module.RESIZE_FILTER)
    np.testing.assert_array_equal(omniglot_module.resize_drawing(drawing), np.asarray(expected))


@pytest.mark.real_data
def test_the_real_drawings_are_all_there_and_differ(data_dir):
    pool = omniglot_module.omniglot_pool("train", 0, data_dir / "tensorflow_datasets")
    assert pool.images.shape == (1200 * 20, 28, 28, 1)
    assert len({image.tobytes() for image in pool.images}) > 0.999 * len(pool.images)
    # Ink 0 on paper 255, a few strokes on each sheet.
    ink = (pool.images < 128).mean(axis=(1, 2, 3))
    assert ink.min() > 0.001
    assert 0.05 < ink.mean() < 0.2
    assert "Arcadian_0" in {name for split in ("train", "test") for name in names_of(split)}


def names_of(split):
    return omniglot_module.omniglot_pool(split, 0).class_names
