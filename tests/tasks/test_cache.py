"""The cache of prepared pools: quick when whole, harmless when not."""

import json
import logging

import numpy as np
import pytest

from tfmeta.tasks.cache import cached_pool, writable_directory
from tfmeta.tasks.pool import Pool


class Builder:
    """Builds a pool and counts how often."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        images = np.arange(5 * 12, dtype=np.uint8).reshape(5, 2, 2, 3)
        return Pool(images, np.asarray([2, 3]), ("a", "b"))


def assert_right(pool):
    expected = Builder()()
    np.testing.assert_array_equal(pool.images, expected.images)
    np.testing.assert_array_equal(pool.counts, expected.counts)
    assert pool.class_names == expected.class_names
    assert pool.sha256 == expected.sha256


def test_a_pool_is_built_once_and_then_read(cache):
    build = Builder()
    assert_right(cached_pool("numbers", build))
    assert_right(cached_pool("numbers", build))
    assert build.calls == 1
    names = sorted(path.name for path in cache.iterdir())
    assert names == [f"numbers-{Builder()().sha256[:16]}.npy", "numbers.json"]


def truncate(cache):
    file = next(cache.glob("*.npy"))
    file.write_bytes(file.read_bytes()[:-1])


def flip_a_byte(cache):
    file = next(cache.glob("*.npy"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def empty_the_record(cache):
    (cache / "numbers.json").write_text("")


def forge_the_counts(cache):
    record = json.loads((cache / "numbers.json").read_text())
    (cache / "numbers.json").write_text(json.dumps(record | {"counts": [1, 3]}))


def age_the_schema(cache):
    record = json.loads((cache / "numbers.json").read_text())
    (cache / "numbers.json").write_text(json.dumps(record | {"schema_version": 0}))


def replace_the_record_by_a_list(cache):
    (cache / "numbers.json").write_text("[]")


def lose_the_images(cache):
    next(cache.glob("*.npy")).unlink()


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        flip_a_byte,
        empty_the_record,
        forge_the_counts,
        age_the_schema,
        replace_the_record_by_a_list,
        lose_the_images,
    ],
)
def test_a_damaged_cache_is_built_anew_and_said_so(cache, caplog, damage):
    build = Builder()
    cached_pool("numbers", build)
    damage(cache)
    with caplog.at_level(logging.WARNING):
        assert_right(cached_pool("numbers", build))
    assert "damaged" in caplog.text
    assert build.calls == 2
    assert_right(cached_pool("numbers", build))
    assert build.calls == 2


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv("TFMETA_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with caplog.at_level(logging.WARNING):
        assert_right(cached_pool("numbers", Builder()))
        assert writable_directory() is None
    assert "going on without" in caplog.text


def test_a_failure_while_writing_leaves_nothing_behind(cache, monkeypatch):
    def full_disk(file, images):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full_disk)
    assert_right(cached_pool("numbers", Builder()))
    assert list(cache.iterdir()) == []


def test_an_error_of_the_builder_is_not_swallowed(cache):
    def fail():
        raise FileNotFoundError("nothing there")

    with pytest.raises(FileNotFoundError, match="nothing there"):
        cached_pool("numbers", fail)
