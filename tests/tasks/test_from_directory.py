"""Tasks from a folder a class."""

import shutil

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
    where = r"\(of 10 classes 6 in train, 2 in validation, 2 in test\)"
    with pytest.raises(ValueError, match=rf"animals test, which has 2 {where}\. Received: ways=5"):
        stream(folder, "test", ways=5)


def test_folders_of_splits_divide_the_classes(folder, tmp_path):
    root = tmp_path / "divided"
    for label, split in enumerate(["train"] * 5 + ["val"] * 2 + ["TEST"] * 3):
        (root / split).mkdir(parents=True, exist_ok=True)
        (folder / f"kind{label}").rename(root / split / f"kind{label}")
    counts = {s: stream(root, s).info["classes"] for s in ("train", "validation", "test", "all")}
    assert counts == {"train": 5, "validation": 2, "test": 3, "all": 10}
    (support_x, _, _), _ = next(iter(stream(root, "validation").batch(20)))
    shown = set(np.rint(support_x.numpy()[..., 2, 2, 0].ravel() * 255).astype(int))
    assert shown == {100, 120}
    assert stream(root, "test").info["split_folders"]["test"] == "TEST"
    (root / "validation" / "kind0").mkdir(parents=True)
    (root / "train" / "kind0" / "0.png").rename(root / "validation" / "kind0" / "0.png")
    with pytest.raises(ValueError, match=r"divided with val and validation, which are"):
        stream(root)


def test_folders_of_splits_may_lack_one_and_must_not_share_a_class_in_silence(folder, tmp_path):
    root = tmp_path / "divided"
    for split, kinds in (("train", (0, 1, 2)), ("test", (2, 3))):
        for kind in kinds:
            shutil.copytree(folder / f"kind{kind}", root / split / f"kind{kind}")
    with pytest.warns(UserWarning, match=r"train and test share 1 classes, e\.g\. kind2"):
        assert stream(root, "all", queries=1).info["classes"] == 4
    with pytest.raises(ValueError, match=r"'validation' needs a folder.* with test, train\."):
        stream(root, "validation")
    with pytest.warns(UserWarning, match="share"):
        (support_x, _, _), _ = next(iter(stream(root, "test", queries=1).batch(20)))
    assert set(np.rint(support_x.numpy()[..., 2, 2, 0].ravel() * 255).astype(int)) == {40, 60}


def test_deep_images_have_one_scale_in_all_splits_and_it_is_exported(folder):
    for label in range(10):
        for image in range(4):
            values = np.full((5, 5), 400 * label, np.uint16)
            Image.fromarray(values).save(folder / f"kind{label}" / f"{image}.png")
    levels = {"integers": [0.0, 4095.0], "floats": [0.0, 1.0]}
    shown = set()
    for split in ("train", "validation", "test"):
        tasks = stream(folder, split)
        assert tasks.info["levels"] == levels
        shown |= set(np.rint(next(iter(tasks.batch(50)))[0][0].numpy().ravel() * 255).astype(int))
    assert shown == {round(400 * label * 255 / 4095) for label in range(10)}


def test_a_class_with_too_few_images_is_named(folder):
    (folder / "kind3" / "0.png").unlink()
    with pytest.raises(ValueError, match=r"1 \+ 3 examples\. Received: class 'kind3' .* with 3"):
        stream(folder, "all", queries=3)
