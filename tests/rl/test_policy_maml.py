"""The learner: a meta-step, evaluation, what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfmeta import evaluation, rl
from tfmeta.rl.trajectories import returns


def learner_of(environment=None, optimizer=None, observation_size=2, **options):
    keras.utils.set_random_seed(0)
    network = rl.gaussian_mlp(observation_size, 2, hidden=(6,), initial_std=0.5)
    learner = rl.PolicyMAML(network, environment or rl.Navigation(horizon=5), **options)
    learner.compile(optimizer)
    return learner


def tasks(count=3, split="train", **options):
    environment = rl.Navigation(horizon=5)
    return rl.environment_tasks(environment, split, shots=4, seed=1, **options).batch(count)


@pytest.fixture(scope="module")
def small():
    return learner_of()


def test_vectorised_tasks_are_those_one_after_another():
    batch = next(iter(tasks()))
    steps = {}
    for parallel in ("vectorized", "sequential"):
        learner = learner_of(parallel=parallel, outer=rl.PolicyGradient())
        step = tf.function(learner.compute_meta_gradient, autograph=False)
        steps[parallel] = step(batch)
    (one, _, logs), (other, _, other_logs) = steps.values()
    for left, right in zip(one, other, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-6)
    assert float(logs["loss"]) == pytest.approx(float(other_logs["loss"]), rel=1e-5)


@pytest.mark.usefixtures("without_traces")
def test_a_step_takes_what_trpo_says_and_nothing_else(small):
    before = [variable.numpy() for variable in small.parameter_variables]
    step, state, logs = small.compute_meta_gradient(next(iter(tasks())))
    small.apply_meta_gradient(step, state)
    for start, part, variable in zip(before, step, small.parameter_variables, strict=True):
        np.testing.assert_allclose(variable, start - part, rtol=1e-6)
        variable.assign(start)
    assert 0 < float(logs["kl"]) <= 0.01
    assert float(logs["loss"]) == -float(logs["return_after"])


def test_the_learner_fits_as_other_keras_models_do_and_takes_no_step_that_is_not_finite(
    monkeypatch,
):
    learner = learner_of(outer=rl.PolicyGradient())
    compute, factor = learner.compute_meta_gradient, tf.Variable(1.0, trainable=False)

    def scaled(*arguments):
        (first, *others), state, logs = compute(*arguments)
        return [first * factor, *others], state, logs

    monkeypatch.setattr(learner, "compute_meta_gradient", scaled)
    history = learner.fit(tasks(), steps_per_epoch=2, epochs=1, verbose=0).history
    assert {"return_before", "return_after", "surrogate"} <= set(history)
    before = [variable.numpy() for variable in learner.parameter_variables]
    factor.assign(float("nan"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="gradient is not finite"):
        learner.fit(tasks(), steps_per_epoch=1, verbose=0)
    for start, variable in zip(before, learner.parameter_variables, strict=True):
        np.testing.assert_array_equal(variable, start)


def test_each_update_has_its_own_trajectories_and_rate(small):
    batch = next(iter(tasks(split="test")))
    drawn = small.trajectories(batch, inner_steps=2)
    assert [one.rewards.shape for one in drawn] == [(3, 4, 5)] * 3
    # The policy before the first update, and what adaptation makes of it.
    weights = [tf.convert_to_tensor(v) for v in small.parameter_variables]
    from tfmeta.rl.advantages import with_advantages

    for task in range(3):
        moved = weights
        for one, rate in zip(drawn, (0.1, 0.05), strict=False):
            experience = with_advantages(tf.nest.map_structure(lambda t, k=task: t[k], one))
            moved, _ = small.step.update(moved, [], experience, rate)
        outputs = small.step.outputs(moved, [], drawn[2].observations[task])
        np.testing.assert_allclose(outputs, drawn[2].policy_outputs[task], rtol=1e-4, atol=1e-5)


def test_evaluation_measures_returns_before_and_after_each_update(small):
    stream = rl.environment_tasks(rl.Navigation(horizon=5), "test", shots=4, seed=2)
    results = evaluation.evaluate_learner(small, stream, 5, inner_steps=2, tasks_per_batch=3)
    summary = results["running"]["return"]
    assert summary["diverged"] == 0
    drawn = [small.trajectories(batch, 2) for batch in stream.batch(3).take(2)]
    values = np.concatenate([[returns(one) for one in of_batch] for of_batch in drawn], axis=1)
    np.testing.assert_allclose(summary["mean"], values[:, :5].mean(axis=1), rtol=1e-5)
    report = evaluation.report_of(small, stream, results, split="test", tasks=5)
    assert report["protocol"]["learner"] == "PolicyMAML"
    table = evaluation.table(report)
    assert "return" in table
    assert "running" not in table  # a mode that changes nothing without batch normalisation


@pytest.mark.slow
def test_returns_after_adaptation_rise_over_meta_steps():
    environment = rl.Navigation(horizon=5, goal_range=0.5)
    learner = learner_of(environment, inner_steps=1)
    stream = rl.environment_tasks(environment, shots=8, seed=5)
    batch = next(iter(stream.batch(4)))
    step = tf.function(learner.compute_meta_gradient, autograph=False)
    reached = []
    for _ in range(8):
        gradients, state, logs = step(batch)
        learner.apply_meta_gradient(gradients, state)
        reached.append(float(logs["return_after"]))
    assert np.mean(reached[-2:]) > np.mean(reached[:2])


def test_a_network_for_another_environment_is_refused():
    network = rl.gaussian_mlp(3, 2, hidden=(4,))
    with pytest.raises(ValueError, match=r"gaussian_mlp\(2, 2\)"):
        rl.PolicyMAML(network, rl.Navigation())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"inner_steps": -1}, "inner_steps must be"),
        ({"test_inner_steps": 1.5}, "test_inner_steps must be"),
        ({"test_inner_rates": ()}, "test_inner_rates must"),
    ],
)
def test_numbers_out_of_range_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        learner_of(**options)


def test_a_loss_and_a_foreign_normalisation_are_refused(small, tmp_path):
    with pytest.raises(ValueError, match="rewards"):
        small.compile(keras.optimizers.SGD(1.0), loss="mse")
    with pytest.raises(ValueError, match="normalization='inductive'"):
        small.export(tmp_path, normalization="inductive")


def test_a_learner_is_saved_and_loaded_by_keras(tmp_path):
    learner = learner_of(
        rl.TaskInView(rl.Navigation(horizon=4, goal_radius=0.02)),
        inner_surrogate=rl.likelihood_ratio_surrogate,
        outer=rl.TRPO(max_kl=0.02),
        test_inner_rates=(0.3, 0.2),
        discount=0.9,
        observation_size=4,
    )
    learner.save(tmp_path / "learner.keras")
    loaded = keras.saving.load_model(tmp_path / "learner.keras")
    found, expected = loaded.get_config(), learner.get_config()
    assert found.keys() == expected.keys()
    assert all(found[name] == expected[name] for name in found.keys() - {"network"})
    assert (loaded.environment, loaded.outer) == (learner.environment, learner.outer)
    assert loaded.step.surrogate is rl.likelihood_ratio_surrogate
    for one, other in zip(loaded.weights, learner.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    batch = next(iter(tasks()))
    metrics = [one.task_metrics(batch, inner_steps=1)["return"] for one in (loaded, learner)]
    np.testing.assert_array_equal(*metrics)
