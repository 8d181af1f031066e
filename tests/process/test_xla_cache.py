"""Compiled programs that runs share: where they lie, and that they change no bit."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.runs.finished_runs import tensors
from tfmeta.process import xla_cache

RUN = ["train.steps = 3", "run.jit_compile = True", "evaluate.tasks = 2", "evaluate.shots = None"]
RUN += ["validate.every = 0", "evaluate.checkpoint = 'last'", "export.enabled = False"]


@pytest.mark.slow
def test_two_runs_compile_once_and_have_the_same_bits(tmp_path):
    command = [sys.executable, "-m", "tfmeta.train", "--gin_file=sinusoid_maml.gin"]
    command += [f"--gin_param={binding}" for binding in RUN]
    environment = {**os.environ, xla_cache.VARIABLE: str(tmp_path / "cache")}
    kept = []
    for name in ("first", "second", "without"):
        if name == "without":
            del environment[xla_cache.VARIABLE]
        subprocess.run([*command, f"--workdir={tmp_path / name}"], env=environment, check=True)
        files = sorted((tmp_path / "cache").rglob("*XLA*.pb"))
        kept.append({file: file.stat().st_mtime_ns for file in files})
    assert kept[0]
    assert kept[0] == kept[1] == kept[2]
    first, *others = (tensors(tmp_path / name, 3) for name in ("first", "second", "without"))
    assert len(first) > 5
    for other in others:
        for name, value in first.items():
            np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_the_flag_is_added_to_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_clustering_debug")
    monkeypatch.setenv(xla_cache.VARIABLE, str(tmp_path / "a" / "b"))
    xla_cache.use_xla_cache()
    own, ours = os.environ["TF_XLA_FLAGS"].split()
    assert own == "--tf_xla_clustering_debug"
    folder = ours.removeprefix("--tf_xla_persistent_cache_directory=")
    assert os.path.isdir(folder)
    assert tf.__version__ in folder
    xla_cache.use_xla_cache()  # a second command in the process
    assert os.environ["TF_XLA_FLAGS"].split() == [own, ours]


def test_nothing_is_kept_where_nobody_asks(monkeypatch):
    monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
    monkeypatch.delenv(xla_cache.VARIABLE, raising=False)
    xla_cache.use_xla_cache()
    assert "TF_XLA_FLAGS" not in os.environ


def test_a_place_that_is_no_directory_is_said(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
    monkeypatch.setenv(xla_cache.VARIABLE, str(tmp_path / "file" / "cache"))
    with pytest.raises(PermissionError, match="TFMETA_XLA_CACHE must name a directory"):
        xla_cache.use_xla_cache()


def test_a_path_with_a_space_is_refused(monkeypatch, tmp_path):
    monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
    monkeypatch.setenv(xla_cache.VARIABLE, str(tmp_path / "my cache"))
    with pytest.raises(PermissionError, match=r"without spaces in its path.*my cache"):
        xla_cache.use_xla_cache()
    assert "TF_XLA_FLAGS" not in os.environ
    assert not (tmp_path / "my cache").exists()


@pytest.mark.parametrize("variable", ["XLA_FLAGS", "TF_XLA_FLAGS"])
def test_other_flags_have_a_folder_of_their_own(monkeypatch, tmp_path, variable):
    monkeypatch.setenv(xla_cache.VARIABLE, str(tmp_path))
    folders = []
    for flags in ("", "--some_flag"):
        monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
        monkeypatch.setenv(variable, flags)
        xla_cache.use_xla_cache()
        folders.append(os.environ["TF_XLA_FLAGS"].split()[-1])
    assert folders[0] != folders[1]


def folder_of(monkeypatch, tmp_path, cpuinfo):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(xla_cache, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setenv("TF_XLA_FLAGS", "")
    monkeypatch.setenv(xla_cache.VARIABLE, str(tmp_path))
    xla_cache.use_xla_cache()
    return os.environ["TF_XLA_FLAGS"]


def test_the_folder_is_the_processors_whatever_its_clock(monkeypatch, tmp_path):
    # Many Linux distributions say nothing here, and every text begins with nothing.
    monkeypatch.setattr(xla_cache.platform, "processor", lambda: "")
    lines = "model name : A\ncpu MHz : {}\nflags : avx {}\n"
    first = folder_of(monkeypatch, tmp_path, lines.format(2000, ""))
    assert folder_of(monkeypatch, tmp_path, lines.format(2100, "")) == first
    assert folder_of(monkeypatch, tmp_path, lines.format(2000, "avx512f")) != first
