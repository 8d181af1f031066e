"""A learner as Keras users drive it: fit, callbacks, saving, adapt, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.conformance import registry
from tests.learners.conftest import compiled, relative_error, values


def stream(problem, count=None):
    dataset = tf.data.Dataset.from_tensor_slices(
        tf.nest.map_structure(tf.constant, problem.batch)
    ).batch(3)
    return dataset.repeat(count)


def test_fit_traces_its_step_once_over_twenty_steps(problem, monkeypatch):
    learner = compiled(tfmeta.MAML(problem.network(), inner_rate=0.1), metrics=["mae"])
    traces = []
    original = learner.train_step
    monkeypatch.setattr(learner, "train_step", lambda data: traces.append(1) or original(data))
    learner.fit(stream(problem), steps_per_epoch=10, epochs=2, verbose=0)
    assert len(traces) == 1


def test_callbacks_and_validation_work_and_the_loss_falls(problem, tmp_path):
    learner = tfmeta.MAML(problem.network(), inner_rate=0.1)
    learner.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    log, best = tmp_path / "log.csv", tmp_path / "best.weights.h5"
    history = learner.fit(
        stream(problem),
        steps_per_epoch=20,
        epochs=3,
        validation_data=stream(problem, 1),
        callbacks=[
            keras.callbacks.CSVLogger(log),
            keras.callbacks.ModelCheckpoint(best, save_weights_only=True, save_best_only=True),
            keras.callbacks.EarlyStopping(patience=5),
        ],
        verbose=0,
    ).history
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert log.read_text().splitlines()[0] == "epoch,loss,mae,val_loss,val_mae"
    assert best.exists()


# Settings of each kind that a configuration holds.
SAVED = {
    "maml": {"inner_rate": {"head/*": 0.1, "*": 0.2}, "inner_steps": 2},
    "reptile": {"carry_moments": True},
    "imaml": {"inner_steps": 3, "regularization": 3.0},
    "gradient_combination": {"coefficients": (0, 1), "batch_size": 3},
    "maml_plus_plus": {"multi_step_loss_steps": 9},
    "bmaml": {"leader_steps": 2, "temperature": 0.1},
    "platipus": {"deviation": 0.1, "samples": 2},
    "llama": {"curvature": "full", "noise": 0.5},
}
# With parameters, state and neither of their own.
GO_ON = ("maml", "meta_sgd", "reptile")
LATER = ("bmaml", "maml_plus_plus")


def saved_and_loaded(learner, folder):
    learner.save(folder / "learner.keras")
    return keras.saving.load_model(folder / "learner.keras")


@pytest.mark.parametrize("name", registry.some(embedding=False))
def test_a_saved_learner_loads_with_its_settings_variables_and_optimizer(problem, tmp_path, name):
    learner = registry.LEARNERS[name](problem.network(), **SAVED.get(name, {}))
    learner.compile(keras.optimizers.Adam(0.01), "mse")
    learner.optimizer.build(learner.parameter_variables)
    rng = np.random.default_rng(0)
    for variable in (*learner.variables, *learner.optimizer.variables):
        if keras.backend.is_float_dtype(variable.dtype):
            variable.assign(rng.uniform(0.1, 0.9, size=variable.shape))
    loaded = saved_and_loaded(learner, tmp_path)
    assert type(loaded) is type(learner)
    settings, saved = loaded.get_config(), learner.get_config()
    # Keras notes more of a network that was loaded; its variables are compared below.
    del settings["network"], saved["network"]
    assert settings == saved
    for of in (lambda each: each.variables, lambda each: each.optimizer.variables):
        for actual, expected in zip(of(loaded), of(learner), strict=True):
            np.testing.assert_array_equal(actual, expected, err_msg=expected.path)


@pytest.mark.usefixtures("further_cases_without_traces")
@pytest.mark.parametrize("name", registry.some(quick=GO_ON, slow=LATER, embedding=False))
def test_a_saved_learner_goes_on_as_the_original(problem, tmp_path, name):
    learner = registry.LEARNERS[name](problem.network(), **SAVED.get(name, {}))
    learner.compile(keras.optimizers.Adam(0.01), "mse")
    learner.train_on_batch(*problem.batch)
    loaded = saved_and_loaded(learner, tmp_path)
    for each in (learner, loaded):
        each.train_on_batch(*problem.batch)
    assert (
        relative_error(values(loaded.parameter_variables), values(learner.parameter_variables))
        < 1e-12
    )
    assert type(loaded) is type(learner)


@pytest.mark.parametrize("normalization", ["transductive", "inductive", "running"])
def test_adapt_gives_a_model_that_answers_as_predict_does(problem, normalization):
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(2),
        ]
    )
    learner = compiled(tfmeta.MAML(network, inner_rate=0.1, normalization=normalization))
    (sx, sy, qx), _ = (tf.nest.map_structure(np.float32, problem.batch[0]), None)
    adapted = learner.adapt(sx[1], sy[1])
    expected = learner.predict((sx, sy, qx), verbose=0)[1]
    np.testing.assert_allclose(adapted.predict(qx[1], verbose=0), expected, atol=1e-5)
    alone = np.concatenate([adapted.predict(q[None], verbose=0) for q in qx[1]])
    assert np.allclose(alone, expected, atol=1e-5) == (normalization != "transductive")


def test_running_averages_move_once_a_meta_step_by_the_task_mean(problem):
    keras.utils.set_random_seed(0)
    norm = keras.layers.BatchNormalization(momentum=0.9)
    network = keras.Sequential([keras.Input((2,)), norm, keras.layers.Dense(2)])
    learner = compiled(tfmeta.MAML(network, inner_rate=0.1, normalization="running"))
    learner.train_on_batch(*tf.nest.map_structure(np.float32, problem.batch))
    expected = 0.1 * np.mean([q.mean(axis=0) for q in problem.query_x], axis=0)
    np.testing.assert_allclose(norm.moving_mean, expected, rtol=1e-5)


def test_examples_of_weight_0_leave_losses_and_batch_statistics(problem):
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [keras.Input((2,)), keras.layers.BatchNormalization(), keras.layers.Dense(2)]
    )
    learner = compiled(tfmeta.MAML(network, inner_rate=0.1, parallel="vectorized"))
    sx, sy, qx = (np.float32(part) for part in problem.batch[0])
    qy = np.float32(problem.query_y)
    expected, _ = learner.meta_gradient((sx[:, :4], sy[:, :4], qx[:, :3]), qy[:, :3])
    support_weights = np.float32([[1, 1, 1, 1, 0, 0]] * 3)
    query_weights = np.float32([[1, 1, 1, 0, 0]] * 3)
    padded, _ = learner.meta_gradient((sx, sy, qx, support_weights), qy, query_weights)
    assert relative_error(padded, expected) < 1e-5


def test_the_inner_loss_may_differ_from_the_outer(problem):
    same = compiled(tfmeta.MAML(problem.network(), inner_rate=0.1))
    other = compiled(tfmeta.MAML(problem.network(), inner_rate=0.1, inner_loss="mae"))
    adapted = [
        learner.task_weights(problem.support_x, problem.support_y) for learner in (same, other)
    ]
    assert relative_error(*adapted) > 1e-3


def test_the_curve_begins_unadapted_and_ends_as_predict(problem):
    learner = compiled(tfmeta.MAML(problem.network(), inner_rate=0.1, test_inner_steps=3))
    outputs, losses = learner.adaptation_curve(problem.batch[0])
    assert outputs.shape == (3, 4, 5, 2)
    assert losses.shape == (3, 4)
    np.testing.assert_allclose(
        outputs[:, 0],
        learner.network(problem.query_x.reshape(15, 2)).numpy().reshape(3, 5, 2),
        rtol=1e-5,  # Keras predicts in float32
    )
    predicted = learner.predict(problem.batch[0], verbose=0)
    np.testing.assert_allclose(outputs[:, 3], predicted, rtol=1e-5)


def refused(problem, **options):
    return lambda: tfmeta.MAML(problem.network(), **options)


def test_wrong_use_says_what_is_wrong_and_what_to_do(problem):
    learner = compiled(tfmeta.MAML(problem.network()))
    (sx, sy, qx), qy = problem.batch
    ragged = tf.ragged.stack([sx[0], sx[1, :4], sx[2]])
    two_outputs = keras.Model(learner.network.inputs, learner.network.outputs * 2)
    endless = stream(problem)
    cases = [
        (refused(problem, inner_steps=-1), "inner_steps must be a whole number, 0 or more"),
        (refused(problem, normalization="batch"), "'transductive', 'inductive', 'running'"),
        (refused(problem, adapted="conv/*"), "hidden_1/kernel"),
        (refused(problem, inner_rate="fast"), "inner_rate must be a finite number.*'fast'"),
        (refused(problem, inner_rate={"*": -1.0}), "inner_rate must be a finite number"),
        (lambda: tfmeta.MAML(keras.Sequential([keras.layers.Dense(2)])), "needs a built network"),
        (lambda: tfmeta.MAML(two_outputs), "must have one output"),
        (
            lambda: tfmeta.MAML(problem.network()).task_weights(sx, sy),
            r"compile\(optimizer, loss\)",
        ),
        (lambda: learner.evaluate(endless), "needs `steps`"),
        (lambda: learner.fit(endless), "needs `steps_per_epoch`"),
        (
            lambda: learner.fit(endless, steps_per_epoch=1, validation_data=endless),
            "needs `validation_steps`",
        ),
        (lambda: learner.meta_gradient((sx, sy, qx[:1]), qy[:1]), "as many tasks as each other"),
        (lambda: learner.meta_gradient((sx, sy, qx), qy[:1]), "query_x and query_y"),
        (lambda: learner.meta_gradient((sx, sy, qx, sy[:, :1, 0]), qy), "support_weights"),
        (lambda: learner.train_on_batch((sx, sy, qx)), "need query targets"),
        (lambda: learner.train_on_batch((ragged, sy, qx), qy), "with weights 0"),
        (lambda: learner.task_weights(sx[0], sy[0]), r"\[tasks, examples, 2\]"),
        (lambda: learner.task_weights(sx[..., :1], sy), r"\[tasks, examples, 2\]"),
        (lambda: learner.task_weights(sx, sy[:, :3]), "as many tasks and examples"),
        (lambda: learner.task_weights(sx[:, :0], sy[:, :0]), "must hold an example"),
        (lambda: learner.predict_on_batch((sx, sy)), r"\(support_x, support_y, query_x\)"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


def test_a_label_beyond_the_outputs_is_named():
    network = tfmeta.networks.mlp((4,), outputs=3, input_dim=2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner = compiled(tfmeta.MAML(network), loss)
    x, y = np.zeros((1, 2, 2), "float32"), np.array([[0, 7]], "int32")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"from 0 to 2.*more ways"):
        learner.meta_gradient((x, y, x), y)


def test_a_weight_without_a_gradient_is_named():
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(2, name="cut")(inputs)
    stopped = keras.layers.Lambda(tf.stop_gradient)(hidden)
    network = keras.Model(inputs, keras.layers.Dense(1, name="head")(stopped))
    learner = compiled(tfmeta.MAML(network))
    x, y = np.zeros((1, 2, 2), "float32"), np.zeros((1, 2, 1), "float32")
    with pytest.raises(ValueError, match="Received none for: cut/kernel, cut/bias"):
        learner.task_weights(x, y)


def test_a_loss_that_is_not_finite_stops_fit_with_advice(problem):
    learner = compiled(tfmeta.MAML(problem.network(), inner_rate=0.1))
    (sx, sy, qx), qy = problem.batch
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"not finite\. Lower the inner"):
        learner.train_on_batch((sx, sy, qx * np.nan), qy)


@pytest.mark.parametrize("before_compile", [True, False])
def test_layers_frozen_after_wrapping_are_named(problem, before_compile):
    learner = tfmeta.MAML(problem.network())
    if not before_compile:
        compiled(learner)
    learner.network.get_layer("hidden_1").trainable = False
    with pytest.raises(ValueError, match=r"changed since: hidden_1/bias, hidden_1/kernel\. Set"):
        compiled(learner).train_on_batch(*problem.batch)


def test_a_learner_with_passes_adapts_to_fewer_tasks_than_a_pass_holds(problem):
    whole, passes = (
        compiled(tfmeta.MAML(problem.network(), 0.1, tasks_per_pass=n)) for n in (None, 2)
    )
    x, y = problem.support_x[0], problem.support_y[0]
    answers = [learner.adapt(x, y).predict(x, verbose=0) for learner in (whole, passes)]
    np.testing.assert_allclose(*answers)
    answers = [learner.predict(problem.batch[0], verbose=0) for learner in (whole, passes)]
    np.testing.assert_allclose(*answers, rtol=1e-5)


def test_fit_on_arrays_runs_eagerly_and_after_a_fit_that_failed(problem):
    (sx, sy, qx), qy = problem.batch
    for run_eagerly in (True, False):
        learner = compiled(
            tfmeta.MAML(problem.network(), 0.1), metrics=["mae"], run_eagerly=run_eagerly
        )
        with pytest.raises(ValueError, match="targets"):
            learner.fit((sx, sy[..., :1].repeat(3, -1), qx), qy, verbose=0)
        assert learner.fit(*problem.batch, verbose=0).history["mae"][0] > 0
        assert learner.train_on_batch(*problem.batch)[1] > 0


def test_a_batch_that_was_refused_leaves_the_next_one_to_train_on(problem):
    learner = compiled(tfmeta.MAML(problem.network()), metrics=["mae"])
    (support_x, support_y, query_x), query_y = problem.batch
    for call in (learner.train_on_batch, learner.test_on_batch):
        with pytest.raises(ValueError, match="support_x and support_y must hold as many"):
            call((support_x, support_y[:2], query_x), query_y)
        assert np.isfinite(call(*problem.batch)).all()


def test_the_validation_loss_holds_the_networks_own_losses(problem):
    strength = 0.5
    network = keras.Sequential(
        [
            keras.Input((2,), dtype="float64"),
            keras.layers.Dense(
                2, kernel_regularizer=keras.regularizers.L2(strength), dtype="float64"
            ),
        ]
    )
    learner = compiled(tfmeta.MAML(network, inner_steps=2))
    weights = learner.task_weights(problem.support_x, problem.support_y)
    answers = learner.predict(problem.batch[0], verbose=0)
    errors = np.mean((answers - problem.query_y) ** 2, axis=(1, 2))
    squares = sum(
        np.sum(weight.numpy() ** 2, axis=(1, 2)) for weight in weights if weight.shape.rank == 3
    )
    found = learner.evaluate(*problem.batch, batch_size=3, verbose=0)
    np.testing.assert_allclose(found, np.mean(errors + strength * squares), rtol=1e-6)


def test_a_task_of_nested_lists_is_adapted_to(problem):
    learner = compiled(tfmeta.MAML(problem.network()))
    x, y = problem.support_x[0], problem.support_y[0]
    expected = learner.adapt(x, y)(problem.query_x[0])
    found = learner.adapt(x.tolist(), y.tolist())(problem.query_x[0])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_policy_mixed_float16_wraps_no_outer_optimizer(problem):
    learner = tfmeta.MAML(problem.network(), inner_rate=0.1)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        learner.compile("adam", "mse")
    finally:
        keras.config.set_dtype_policy(policy)
    assert type(learner.optimizer) is keras.optimizers.Adam
