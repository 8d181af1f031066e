"""Tasks from a folder a class."""

import numpy as np
import pytest
from PIL import Image

import tfmeta


@pytest.fixture
def folder(tmp_path):
    """Ten classes of four images, whose value is their class."""
    root = tmp_path / "animals"
    for label in range(10):
        (root / f"kind{label}").mkdir(parents=True)
        for image in range(4):
            picture = Image.new("L", (5, 5), 20 * label)
            picture.putpixel((0, 0), image)
            picture.save(root / f"kind{label}" / f"{image}.png")
    return root


def stream(folder, *args, **options):
    options = {"ways": 2, "shots": 1, "queries": 2} | options
    return tfmeta.tasks.from_directory(folder, *args, **options)


def test_a_label_means_one_folder(folder):
    (support_x, support_y, query_x), query_y = stream(folder, "all", ways=5).sample(0)
    assert support_x.shape == (5, 5, 5, 1)
    classes = dict(zip(support_y.numpy(), support_x.numpy()[:, 2, 2, 0], strict=True))
    assert len(set(classes.values())) == 5
    assert [classes[label] for label in query_y.numpy()] == list(query_x.numpy()[:, 2, 2, 0])


def test_splits_share_no_class(folder):
    seen = {}
    for split in ("train", "validation", "test"):
        (support_x, _, _), _ = next(iter(stream(folder, split).batch(100)))
        seen[split] = set(np.rint(support_x.numpy()[..., 2, 2, 0].ravel() * 255).astype(int))
    assert [len(classes) for classes in seen.values()] == [6, 2, 2]
    assert len(set.union(*seen.values())) == 10


def test_the_info_names_folder_and_split(folder):
    info = stream(folder).info
    assert (info["name"], info["split"], info["classes"]) == ("animals", "train", 6)
    assert info["image_shape"] == [5, 5, 1]


def test_a_changed_folder_is_read_again(folder):
    before = stream(folder, "all").info["data_sha256"]
    assert stream(folder, "all").info["data_sha256"] == before
    Image.new("L", (5, 5), 255).save(folder / "kind0" / "0.png")
    assert stream(folder, "all").info["data_sha256"] != before


def test_images_take_the_shape_asked_for(folder):
    assert stream(folder, image_shape=[8, 9, 3]).info["image_shape"] == [8, 9, 3]


def test_a_folder_without_classes_is_refused(folder):
    with pytest.raises(ValueError, match=r"4 images and no folder"):
        stream(folder / "kind0")


def test_too_few_classes_for_the_ways_are_said_so(folder):
    with pytest.raises(ValueError, match=r"animals test, which has 2\. Received: ways=5"):
        stream(folder, "test", ways=5)


def test_a_class_with_too_few_images_is_named(folder):
    (folder / "kind3" / "0.png").unlink()
    with pytest.raises(ValueError, match=r"1 \+ 3 examples\. Received: class 'kind3' .* with 3"):
        stream(folder, "all", queries=3)
