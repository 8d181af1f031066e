"""Checkpoints: whole or absent, the last few and the best, everything that a step depends on."""

import resource
import signal

import numpy as np
import pytest
import tensorflow as tf

from tfmeta.runs.checkpoints import Checkpoints
from tfmeta.runs.recipe import RecipeError, RunError
from tfmeta.runs.workdir import WorkDir


def _state(value):
    return tf.train.Checkpoint(value=tf.Variable(value))


def test_the_last_few_stay_and_the_best(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (1, 2, 3, 4, 5):
        checkpoints.save(step, _state(step))
        if step == 2:
            checkpoints.mark_best(2, "accuracy", 0.5)
    assert checkpoints.steps() == [2, 4, 5]
    assert checkpoints.best() == {"step": 2, "metric": "accuracy", "value": 0.5}


def test_a_checkpoint_comes_back(tmp_path):
    Checkpoints(tmp_path).save(7, _state(3.5))
    state = _state(0.0)
    Checkpoints(tmp_path).restore(7, state)
    assert state.value.numpy() == 3.5


def test_a_folder_that_was_not_finished_is_no_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, _state(1))
    (tmp_path / ".step_000000002.tmp").mkdir()
    assert checkpoints.steps() == [1]
    checkpoints.save(2, _state(2))
    assert checkpoints.steps() == [1, 2]


def test_a_full_disk_is_an_error_and_the_earlier_checkpoint_stays(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, _state(np.zeros(4)))
    # The kernel refuses to let a file grow, as a full disk does.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large|too large"):
            checkpoints.save(2, _state(np.zeros(100_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert checkpoints.steps() == [1]
    checkpoints.restore(1, _state(np.ones(4)))


def test_a_damaged_checkpoint_is_named_with_advice(tmp_path):
    path = Checkpoints(tmp_path).save(1, _state(np.arange(100.0)))
    data = next(path.glob("*.data*"))
    data.write_bytes(data.read_bytes()[:10])
    with pytest.raises(ValueError, match=r"step_000000001.*remove that folder"):
        Checkpoints(tmp_path).restore(1, _state(np.zeros(100)))


def test_a_checkpoint_that_lacks_a_variable_is_refused(tmp_path):
    Checkpoints(tmp_path).save(1, _state(1.0))
    more = tf.train.Checkpoint(value=tf.Variable(0.0), other=tf.Variable(0.0))
    with pytest.raises(ValueError, match="every variable"):
        Checkpoints(tmp_path).restore(1, more)


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"step": "x"}'])
def test_a_damaged_note_of_the_best_says_that_it_can_go(content, tmp_path):
    (tmp_path / "best.json").write_text(content)
    with pytest.raises(RunError, match=r"best\.json.*Remove it"):
        Checkpoints(tmp_path).best()


def test_a_checkpoint_is_asked_for_by_a_name_that_exists(tmp_path):
    with pytest.raises(RecipeError, match=r"'last', 'best'\. Received: 'latest'"):
        WorkDir(tmp_path).chosen_step("latest")


def test_a_recipe_that_is_no_text_is_named(tmp_path):
    (tmp_path / "config.gin").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match=r"A recipe is text\. Received: .*config\.gin"):
        WorkDir(tmp_path).recipe()
