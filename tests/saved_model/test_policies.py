"""A policy's signatures, in a process that knows no tfmeta and has XLA turned off."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.saved_model.request_pipe import INVALID_ARGUMENT, OK
from tfmeta import rl
from tfmeta.saved_model import read_description, versions

LIMITS = {"max_support": 6, "max_steps": 9, "max_query": 5}


@pytest.fixture(scope="module")
def learner():
    keras.utils.set_random_seed(2)
    network = rl.gaussian_mlp(2, 2, hidden=(6,))
    learner = rl.PolicyMAML(network, rl.Navigation(horizon=8), test_inner_rates=(0.4,))
    learner.compile()
    return learner


@pytest.fixture(scope="module")
def path(learner, tmp_path_factory):
    return learner.export(tmp_path_factory.mktemp("policy"), warmup_sizes=[(4, 3)], **LIMITS)


@pytest.fixture(scope="module")
def served(start_process, path):
    return start_process(path)


@pytest.fixture(scope="module")
def drawn(learner):
    """Trajectories of one task before and after an update."""
    stream = rl.environment_tasks(learner.environment, "test", shots=4, seed=1)
    sets = learner.trajectories(next(iter(stream.batch(1))), inner_steps=1)
    return [tf.nest.map_structure(lambda tensor: tensor[0].numpy(), one) for one in sets]


@pytest.fixture
def request_(drawn):
    before, after = drawn
    return {
        "observations": before.observations,
        "actions": before.actions,
        "rewards": before.rewards,
        "mask": before.mask,
        "query_observations": np.ascontiguousarray(after.observations[:, 3]),
    }


def test_the_answer_is_the_adapted_policys(served, drawn, request_):
    for signature in ("adapt_and_act", "serving_default"):
        answer = served(signature, request_)
        outputs = np.concatenate([answer["mean"], answer["log_std"]], axis=-1)
        np.testing.assert_allclose(outputs, drawn[1].policy_outputs[:, 3], rtol=1e-4, atol=1e-5)


def test_before_adaptation_the_policy_acts_as_it_drew(served, drawn):
    observations = np.ascontiguousarray(drawn[0].observations[:, 3])
    answer = served("act", {"query_observations": observations})
    np.testing.assert_allclose(
        answer["mean"], drawn[0].policy_outputs[:, 3, :2], rtol=1e-4, atol=1e-5
    )


def test_what_follows_the_end_of_a_trajectory_does_not_count(served, request_):
    shorter = {name: value.copy() for name, value in request_.items()}
    shorter["mask"][1, 5:] = 0
    noisy = {name: value.copy() for name, value in shorter.items()}
    for name in ("observations", "actions", "rewards"):
        noisy[name][1, 5:] += 3
    answers = [served("adapt_and_act", one)["mean"] for one in (shorter, noisy, request_)]
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-5, atol=1e-6)
    assert np.abs(answers[0] - answers[2]).max() > 1e-4


def test_no_queries_get_no_answers(served, request_):
    empty = {**request_, "query_observations": np.zeros((0, 2), np.float32)}
    answer = served("adapt_and_act", empty)
    assert answer["mean"].shape == answer["log_std"].shape == (0, 2)


def spoiled(array, *position):
    changed = array.copy()
    changed[position] = np.nan
    return changed


BROKEN = {
    "rank": (lambda r: {"observations": r["observations"][0]}, "observations must have the shape"),
    "size": (lambda r: {"actions": r["actions"][..., :1]}, "actions must have the shape"),
    "lengths": (lambda r: {"rewards": r["rewards"][:2]}, "must have the same length"),
    "steps": (lambda r: {"mask": r["mask"][:, :5]}, "must have the same length"),
    "not finite": (lambda r: {"rewards": spoiled(r["rewards"], 0, 0)}, "rewards must be finite"),
    "half a mask": (lambda r: {"mask": r["mask"] * 0.5}, "mask must be 1"),
    "a mask with a gap": (
        lambda r: {"mask": np.where(np.arange(8) == 3, 0, r["mask"]).astype("float32")},
        "mask must be 1",
    ),
    "no trajectory": (
        lambda r: {k: v[:0] for k, v in r.items() if k != "query_observations"},
        "observations must have at least 1",
    ),
    "no step": (
        lambda r: {k: v[:, :0] for k, v in r.items() if k != "query_observations"},
        "observations must have at least 1",
    ),
    "too many trajectories": (
        lambda r: {
            k: np.tile(v, (2,) + (1,) * (v.ndim - 1))
            for k, v in r.items()
            if k != "query_observations"
        },
        "at most 6 trajectories",
    ),
    "too many steps": (
        lambda r: {
            k: np.tile(v, (1, 2) + (1,) * (v.ndim - 2))
            for k, v in r.items()
            if k != "query_observations"
        },
        "at most 9 steps",
    ),
    "too many queries": (
        lambda r: {"query_observations": np.zeros((6, 2), np.float32)},
        "query_observations must have at most 5",
    ),
    "a divergence": (
        lambda r: {"actions": r["actions"] * np.float32(1e30)},
        "diverged",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_guard_names_the_input_and_the_next_request_is_answered(served, request_, case):
    change, said = BROKEN[case]
    answer = served("adapt_and_act", {**request_, **change(request_)})
    assert answer.code == INVALID_ARGUMENT
    assert said in answer.message
    assert served("adapt_and_act", request_).code == OK


def test_the_metadata_says_what_it_is(path, learner):
    described = read_description(path)
    assert described["kind"] == "policy"
    assert described["limits"] == LIMITS
    assert described["inner_rate"] == 0.4
    assert described["extra"]["environment"] == "navigation"


def test_weights_that_are_not_finite_are_not_exported(learner, tmp_path):
    variable = learner.parameter_variables[0]
    kept = variable.numpy()
    variable.assign(np.full_like(kept, np.nan))
    with pytest.raises(ValueError, match="hidden_1/kernel"):
        learner.export(tmp_path)
    variable.assign(kept)
    assert not versions(tmp_path)
