"""Files are whole or absent."""

import errno
import os

import pytest

from tfmeta.runs import files
from tfmeta.runs.recipe import RecipeError


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        files.write_json(path, {"a": 2})
    assert path.read_text() == '{\n  "a": 1\n}\n'


def test_json_never_holds_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_a_new_directory_has_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "step"
    with files.new_directory(path) as temporary:
        (temporary / "a").write_text("a")
        assert not path.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["step"]


def test_a_new_directory_that_fails_leaves_nothing(tmp_path):
    def fail():
        with files.new_directory(tmp_path / "step") as temporary:
            (temporary / "a").write_text("a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_second_lock_on_a_work_directory_names_the_process_that_has_it(tmp_path):
    with files.locked(tmp_path):
        message = f"process {os.getpid()} is at work"
        with pytest.raises(RecipeError, match=message), files.locked(tmp_path):
            pass
    with files.locked(tmp_path):
        pass


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "may not be written"),
        (errno.EFBIG, "limit"),
    ],
)
def test_a_disk_that_refuses_is_said_with_advice(tmp_path, number, advice):
    with pytest.raises(RecipeError, match=advice), files.disk_errors(tmp_path):
        raise OSError(number, os.strerror(number), "file")


def test_a_disk_that_refuses_an_export_names_the_exports_flag(tmp_path):
    with (
        pytest.raises(
            RecipeError, match="choose another --export_dir, then give the same comm"
        ) as e,
        files.disk_errors(tmp_path, "--export_dir"),
    ):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "file")
    assert "workdir" not in str(e.value)


def test_a_work_directory_below_a_file_is_refused_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(
            RecipeError,
            match=r"--workdir must be a directory that can be written\..*goes on from there",
        ),
        files.locked(tmp_path / "file" / "run"),
    ):
        pass
