"""Versions appear whole, once, and never change."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from tfmeta.saved_model import version_directory
from tfmeta.saved_model.version_directory import new_version, versions


def write(export_dir, text="model", version=None):
    with new_version(export_dir, version) as directory:
        (directory.path / "variables").mkdir()
        (directory.path / "variables" / "data").write_text(text)
        (directory.path / "saved_model.pb").write_text(text)
    return directory.path


def test_versions_count_up_from_one(tmp_path):
    assert write(tmp_path / "new" / "place").name == "1"
    assert write(tmp_path / "new" / "place").name == "2"
    assert write(tmp_path / "new" / "place", version=41).name == "41"
    assert write(tmp_path / "new" / "place").name == "42"
    assert list(versions(tmp_path / "new" / "place")) == [1, 2, 41, 42]


def test_what_is_not_a_version_is_ignored(tmp_path):
    for name in ("7", "latest", "-3", "00009", ".tfmeta-exporting-1"):
        (tmp_path / name).mkdir()
    assert list(versions(tmp_path)) == [7, 9]
    assert write(tmp_path).name == "10"
    assert versions(tmp_path / "missing") == {}


def test_an_existing_version_is_refused_and_left_as_it_was(tmp_path):
    path = write(tmp_path, "old", version=3)
    with pytest.raises(FileExistsError, match="version=3"):
        write(tmp_path, "new", version=3)
    assert (path / "saved_model.pb").read_text() == "old"
    (tmp_path / "0004").mkdir()
    with pytest.raises(FileExistsError, match="version=4"):
        write(tmp_path, version=4)


@pytest.mark.parametrize("version", [-1, 1.5, "2", True, 2**63])
def test_a_version_that_no_server_would_read_is_refused(tmp_path, version):
    with pytest.raises(ValueError, match="whole number from 0"):
        write(tmp_path, version=version)
    assert os.listdir(tmp_path) == []


def test_what_a_killed_exporter_left_is_removed_by_the_next_but_not_a_live_ones(tmp_path):
    script = textwrap.dedent("""
        import os, sys
        from tfmeta.saved_model.version_directory import new_version
        with new_version(sys.argv[1]):
            print("writing", flush=True)
            sys.stdin.read()
    """)
    exporters = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for exporter in exporters:
        assert exporter.stdout.readline() == b"writing\n"
    exporters[0].kill()
    exporters[0].wait()
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    assert write(tmp_path).name == "1"
    assert len(list(tmp_path.glob(".tfmeta-exporting-*"))) == 1
    exporters[1].communicate()
    assert list(versions(tmp_path)) == [1, 2]
    assert list(tmp_path.glob(".tfmeta-exporting-*")) == []


def test_an_interrupt_after_the_version_appeared_leaves_it(tmp_path, monkeypatch):
    sync = version_directory._sync

    def interrupted(path):
        if path == tmp_path:
            raise KeyboardInterrupt
        sync(path)

    monkeypatch.setattr(version_directory, "_sync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path)
    assert (tmp_path / "1" / "saved_model.pb").read_text() == "model"


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), new_version(tmp_path) as directory:  # noqa: PT012
        (directory.path / "saved_model.pb").write_text("half")
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_a_version_that_another_exporter_took_meanwhile_is_not_overwritten(tmp_path):
    with pytest.raises(FileExistsError), new_version(tmp_path, 5) as directory:  # noqa: PT012
        (directory.path / "saved_model.pb").write_text("slow")
        write(tmp_path, "fast", version=5)
    assert (tmp_path / "5" / "saved_model.pb").read_text() == "fast"
    assert os.listdir(tmp_path) == ["5"]


def test_concurrent_exporters_get_versions_of_their_own(tmp_path):
    barrier = threading.Barrier(8)

    def export(text):
        barrier.wait()
        for _ in range(3):
            write(tmp_path, text)

    threads = [threading.Thread(target=export, args=(str(index),)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = versions(tmp_path)
    assert list(found) == list(range(1, 25))
    for path in found.values():
        assert (path / "variables" / "data").read_text() == (path / "saved_model.pb").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(map(str, range(1, 25)))


def test_a_killed_exporter_leaves_no_version(tmp_path):
    program = textwrap.dedent(
        f"""
        import runpy
        new_version = runpy.run_path({version_directory.__file__!r})["new_version"]
        with new_version({str(tmp_path)!r}) as directory:
            (directory.path / "saved_model.pb").write_text("half")
            print("ready", flush=True)
            input()
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert versions(tmp_path) == {}
    assert write(tmp_path).name == "1"


def test_a_version_is_on_the_disk_before_it_appears_in_one_rename(tmp_path, monkeypatch):
    synced, renamed = [], []
    sync, rename = version_directory._sync, pathlib.Path.rename

    def recorded_sync(path):
        path = pathlib.Path(path)
        synced.append((path.name, sorted(versions(tmp_path))))
        sync(path)

    def recorded_rename(path, target):
        renamed.append((path.parent, pathlib.Path(target)))
        whole = {str(each.relative_to(path)) for each in path.rglob("*")}
        assert whole == {"saved_model.pb", "variables", "variables/data"}
        # No server and no later exporter takes it for a version before.
        assert versions(tmp_path) == {}
        assert {name for name, _ in synced} == {
            path.name,
            "saved_model.pb",
            "variables",
            "data",
        }
        return rename(path, target)

    monkeypatch.setattr(version_directory, "_sync", recorded_sync)
    monkeypatch.setattr(pathlib.Path, "rename", recorded_rename)
    assert write(tmp_path) == tmp_path / "1"
    assert renamed == [(tmp_path, tmp_path / "1")]
    # Last the folder of all versions, which holds the new name.
    assert synced[-1] == (tmp_path.name, [1])
    assert len(synced) == 5
