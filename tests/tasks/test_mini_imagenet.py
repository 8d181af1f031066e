"""mini-ImageNet: reading its files as fetched, and saying what is wrong with them."""

import gzip
import importlib
import io
import os
import shutil
import tarfile

import numpy as np
import pytest

import tfmeta

module = importlib.import_module("tfmeta.tasks.mini_imagenet")
IMAGES = 5  # a class of the stand-in


def stream(directory, split="test", **options):
    options = {"ways": 2, "shots": 1, "queries": 2, "data_dir": directory} | options
    return tfmeta.tasks.mini_imagenet(split, **options)


def assert_right(pool, stem, labels):
    """The stand-in's classes, each with its five images of value 10 * class + number."""
    assert pool.class_names == tuple(f"{stem}{label}" for label in labels)
    np.testing.assert_array_equal(pool.counts, [IMAGES] * len(labels))
    assert pool.images.shape == (IMAGES * len(labels), 84, 84, 3)
    expected = [10 * label + image for label in labels for image in range(IMAGES)]
    np.testing.assert_allclose(pool.images[:, 40, 40, 1], expected, atol=1)


def test_tars_are_read_and_the_prepared_images_go_to_the_cache(cache, mini_imagenet_files):
    directory = mini_imagenet_files
    before = sorted(path.name for path in directory.iterdir())
    for split, stem, classes in (("train", "train", 6), ("validation", "val", 3)):
        pool, _ = module.mini_imagenet_pool(split, directory)
        assert_right(pool, stem, range(classes))
    assert sorted(path.name for path in directory.iterdir()) == before
    info = stream(directory).info
    assert (info["classes"], info["classes_listed"], info["classes_missing"]) == (4, 4, [])
    assert info["image_shape"] == [84, 84, 3]


def test_prepared_images_are_used_again(cache, mini_imagenet_files, monkeypatch):
    first = stream(mini_imagenet_files).info
    monkeypatch.setattr(module, "_prepare", None)
    assert stream(mini_imagenet_files).info == first


def test_a_class_may_lie_in_several_tars_of_its_split(cache, mini_imagenet_files):
    with tarfile.open(mini_imagenet_files / "test.tar") as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]
    (mini_imagenet_files / "test.tar").unlink()
    for part in range(2):
        with tarfile.open(mini_imagenet_files / f"test_{part}_of_2.tar", "w") as tar:
            for member, content in members[part::2]:
                tar.addfile(member, io.BytesIO(content))
    assert_right(module.mini_imagenet_pool("test", mini_imagenet_files)[0], "test", range(4))


@pytest.fixture
def unpacked(mini_imagenet_files):
    """The stand-in as a folder images/ instead of tars."""
    for path in mini_imagenet_files.glob("*.tar"):
        with tarfile.open(path) as tar:
            # Python 3.11 has filters since its fourth release; later ones ask for one.
            options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            tar.extractall(mini_imagenet_files / "all", **options)
        path.unlink()
    (mini_imagenet_files / "images").mkdir()
    for path in (mini_imagenet_files / "all").rglob("*.jpg"):
        shutil.move(path, mini_imagenet_files / "images" / path.name)
    shutil.rmtree(mini_imagenet_files / "all")
    return mini_imagenet_files


def test_a_folder_of_images_is_read_and_resized(cache, unpacked):
    from PIL import Image

    large = unpacked / "images" / "test0_0.jpg"
    Image.new("RGB", (200, 100), (0, 0, 0)).save(large)
    assert_right(module.mini_imagenet_pool("test", unpacked)[0], "test", range(4))


def test_a_cache_that_cannot_be_written_is_done_without(mini_imagenet_files, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv("TFMETA_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert_right(module.mini_imagenet_pool("test", mini_imagenet_files)[0], "test", range(4))


def remove_tar(directory):
    (directory / "test.tar").unlink()
    return "test*.tar is missing"


def remove_csv(directory):
    (directory / "test.csv").unlink()
    return "test.csv is missing"


def remove_all(directory):
    shutil.rmtree(directory)
    return "test.csv is missing"


def save_page_as_tar(directory):
    (directory / "test.tar").write_text("\n<!DOCTYPE html><html><body>Sign in</body></html>")
    return "test.tar is a web page"


def save_page_as_csv(directory):
    (directory / "test.csv").write_text("<html><body>404</body></html>")
    return "test.csv is a web page"


def lose_csv_header(directory):
    lines = (directory / "test.csv").read_text().splitlines()
    (directory / "test.csv").write_text("\n".join(lines[1:]))
    return "test.csv is not a CSV of filename,label"


def truncate_in_a_file(directory):
    content = (directory / "test.tar").read_bytes()
    (directory / "test.tar").write_bytes(content[: len(content) // 2 + 100])
    return "test.tar (%d bytes) is truncated"


def truncate_between_files(directory):
    with tarfile.open(directory / "test.tar") as tar:
        middle = tar.getmembers()[10].offset
    content = (directory / "test.tar").read_bytes()
    (directory / "test.tar").write_bytes(content[:middle])
    return "test.tar (%d bytes) is truncated"


def truncate_compressed(directory):
    content = gzip.compress((directory / "test.tar").read_bytes())
    (directory / "test.tar").write_bytes(content[: len(content) // 2])
    return "test.tar (%d bytes) is truncated"


def write_noise(directory):
    (directory / "test.tar").write_bytes(bytes(range(256)) * 8)
    return "test.tar (%d bytes) is truncated or no tar"


@pytest.mark.parametrize(
    "damage",
    [
        remove_tar,
        remove_csv,
        remove_all,
        save_page_as_tar,
        save_page_as_csv,
        lose_csv_header,
        truncate_in_a_file,
        truncate_between_files,
        truncate_compressed,
        write_noise,
    ],
)
@pytest.mark.parametrize("allow_missing_classes", [False, True])
def test_a_damaged_file_gets_an_error_that_says_what_to_fetch_and_where(
    cache, mini_imagenet_files, damage, allow_missing_classes
):
    expected = damage(mini_imagenet_files)
    if "%d" in expected:
        expected = expected.replace("%d", f"{os.path.getsize(mini_imagenet_files / 'test.tar'):,}")
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        stream(mini_imagenet_files, allow_missing_classes=allow_missing_classes)
    message = str(error.value)
    assert expected in message
    assert "train*.tar, val*.tar, test*.tar" in message
    assert f"Put them into {mini_imagenet_files}" in message


def test_an_unreadable_image_is_named(cache, unpacked):
    (unpacked / "images" / "test2_3.jpg").write_bytes(b"\xff\xd8 half a picture")
    with pytest.raises(ValueError, match=r"must be readable\. Received: test2/test2_3\.jpg"):
        stream(unpacked)


def test_a_missing_class_is_an_error_unless_it_is_allowed_and_then_it_is_counted(cache, unpacked):
    for path in (unpacked / "images").glob("test1_*.jpg"):
        path.unlink()
    (unpacked / "images" / "test3_0.jpg").unlink()
    message = r"2 of the 4 classes of test lack images: test1 \(0 of 5 images\), test3 \(4 of 5"
    for _ in range(2):
        with pytest.raises(ValueError, match=message):
            stream(unpacked)
        stream(unpacked, "validation")
        info = stream(unpacked, allow_missing_classes=True).info
        assert (info["classes"], info["classes_listed"]) == (2, 4)
        assert info["classes_missing"] == ["test1", "test3"]


def test_images_fetched_later_are_seen(cache, unpacked):
    image = unpacked / "images" / "test1_0.jpg"
    content = image.read_bytes()
    image.unlink()
    assert stream(unpacked, allow_missing_classes=True).info["classes"] == 3
    image.write_bytes(content)
    assert stream(unpacked).info["classes"] == 4


def test_a_split_without_any_image_is_an_error_even_if_classes_may_miss(cache, unpacked):
    for path in (unpacked / "images").glob("test*.jpg"):
        path.unlink()
    with pytest.raises(ValueError, match="4 of the 4 classes of test lack images"):
        stream(unpacked, allow_missing_classes=True)


def test_the_environment_says_where_the_files_lie(monkeypatch, tmp_path):
    monkeypatch.setenv("TFMETA_DATA_DIR", str(tmp_path))
    assert module.source_directory() == tmp_path / "mini_imagenet"
    monkeypatch.delenv("TFMETA_DATA_DIR")
    expected = "tensorflow_datasets/downloads/manual/mini_imagenet"
    assert module.source_directory().as_posix().endswith(expected)
    assert module.source_directory(tmp_path / "here") == tmp_path / "here"


def test_the_builder_finds_the_files_in_tfds_own_manual_directory(mini_imagenet_files, tmp_path):
    import tensorflow_datasets as tfds

    from tfmeta.tasks.mini_imagenet_builder import MiniImagenet

    builder = MiniImagenet(data_dir=str(tmp_path / "prepared"))
    config = tfds.download.DownloadConfig(manual_dir=str(mini_imagenet_files.parent))
    builder.download_and_prepare(download_config=config)
    sizes = {split: info.num_examples for split, info in builder.info.splits.items()}
    assert sizes == {"train": 30, "validation": 15, "test": 20}
    for example in builder.as_dataset(split="validation").as_numpy_iterator():
        name = example["file_name"].decode()
        assert name.startswith(example["class_name"].decode())
        assert example["image"].shape == (84, 84, 3)
        # Labels count all 13 classes in the order of their names: test, train, val.
        assert example["label"] == 10 + int(name[3])


@pytest.mark.real_data
def test_the_real_validation_split_is_prepared(cache, data_dir, tmp_path):
    source = tmp_path / "real"
    source.mkdir()
    (source / "val.tar").symlink_to(data_dir / "mini_imagenet" / "val.tar")
    listing = (data_dir / "mini_imagenet" / "val.csv").read_text().splitlines()
    (source / "val.csv").write_text("\n".join(listing))
    classes, lacking, _ = module.files.complete_classes(source, "validation")
    assert (len(classes), lacking) == (16, {})
    # Decoding all of them would take eight times as long.
    rows = [line for line in listing[1:] if line.split(",")[1] in (classes[0], classes[-1])]
    (source / "val.csv").write_text("\n".join([listing[0], *rows]))
    pool, _ = module.mini_imagenet_pool("validation", source)
    assert pool.class_names == (classes[0], classes[-1])
    assert set(pool.counts) == {600}
    assert 100 < pool.images[::50].mean() < 140
    shutil.rmtree(cache)  # 25 MB that pytest would keep
