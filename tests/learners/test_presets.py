"""Learners to presets and back; what a stranger's preset may not make a process do."""

import copy

import keras
import numpy as np
import pytest

import tfmeta
from tests.conformance import registry
from tests.presets.small_preset import preset_of
from tfmeta.learners.keras_model.preset_learner import learner_of, preset_config
from tfmeta.learners.keras_model.saving import frozen_parts
from tfmeta.presets import Preset, write_preset


@pytest.fixture(scope="module")
def maml():
    return registry.LEARNERS["maml"].compiled(dtype="float32")


SOME = ("bmaml", "maml_plus_plus", "fine_tuning", "cavia")


@pytest.mark.usefixtures("further_cases_without_traces")
@pytest.mark.parametrize(
    "name", registry.some(quick=("meta_sgd", "carrying_reptile", "boil"), slow=SOME)
)
def test_a_learner_comes_back_with_its_weights_and_goes_on_learning_alike(name, tmp_path):
    entry = registry.LEARNERS[name]
    learner = entry.compiled(dtype="float32")
    rng = np.random.default_rng(0)
    for variable in learner.parameter_variables:
        noise = rng.normal(scale=0.01, size=variable.shape)
        variable.assign(np.asarray(variable) + noise.astype("float32"))
    path = write_preset(preset_of(learner), tmp_path / "small.npz")
    again = type(learner).from_preset(path)
    assert again.get_config().keys() == learner.get_config().keys()
    for first, second in zip(
        [*learner.parameter_variables, *learner.state_variables],
        [*again.parameter_variables, *again.state_variables],
        strict=True,
    ):
        np.testing.assert_array_equal(first, second)
    x, y = entry.batch(tasks=2, dtype="float32")
    first, _ = learner.meta_gradient(x, y)
    second, _ = again.meta_gradient(x, y)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def backbone():
    keras.utils.set_random_seed(1)
    images = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(4, 3, activation=keras.activations.tanh, name="first")(images)
    x = keras.layers.BatchNormalization(name="norm")(x)
    return keras.Model(images, keras.layers.Conv2D(5, 1, name="second")(x), name="small")


@pytest.mark.usefixtures("without_traces")
@pytest.mark.parametrize("options", [{}, {"lora_rank": 1, "lora_layers": ["second"]}])
def test_a_frozen_network_comes_back_frozen_alike(options, tmp_path):
    network = tfmeta.networks.with_head(backbone(), 3, preprocessing="tf", **options)
    rng = np.random.default_rng(0)
    for variable in network.variables:
        if variable.dtype == "float32":
            noise = rng.uniform(0, 0.1, variable.shape).astype("float32")
            variable.assign(np.asarray(variable) + noise)
    learner = tfmeta.MAML(network, inner_rate=0.1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner.compile("sgd", loss)
    path = write_preset(preset_of(learner), tmp_path / "small.npz")
    again = tfmeta.MAML.from_preset(path)
    assert frozen_parts(again.network) == frozen_parts(network)
    assert not all(frozen_parts(network)["variables"])
    assert again.parameter_paths == learner.parameter_paths
    x = rng.random((3, 4, 4, 3), "float32")
    first, second = (one.adapt(x, np.arange(3)).predict(x, verbose=0) for one in (learner, again))
    np.testing.assert_array_equal(first, second)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(first, learner.network.predict(x, verbose=0))
    other = tfmeta.networks.mlp(outputs=3, input_dim=48)
    with pytest.raises(ValueError, match="must hold every variable"):
        tfmeta.MAML.from_preset(path, network=other)


def test_options_replace_the_preset_s_and_an_unknown_one_is_said(maml, tmp_path):
    path = write_preset(preset_of(maml), tmp_path / "small.npz")
    learner = tfmeta.MAML.from_preset(path, inner_steps=3, normalization="inductive")
    assert (learner.inner_steps, learner.normalization) == (3, "inductive")
    assert learner.inner_rate == maml.inner_rate
    with pytest.raises(TypeError, match="inner_rate="):
        tfmeta.MAML.from_preset(path, inner_lr=0.1)


def test_another_class_is_refused_and_the_base_class_takes_any(maml, tmp_path):
    path = write_preset(preset_of(maml), tmp_path / "small.npz")
    with pytest.raises(ValueError, match=r"Received: 'small', which is a MAML"):
        tfmeta.Reptile.from_preset(path)
    assert type(tfmeta.MetaLearner.from_preset(path)) is tfmeta.MAML


def changed(preset, change):
    info = copy.deepcopy(preset.info)
    change(info["learner"])
    return Preset(info, preset.arrays)


def dense(learner):
    return learner["config"]["network"]["config"]["layers"][1]


def lambda_layer(learner):
    dense(learner)["class_name"] = "Lambda"


def lambda_function(learner):
    dense(learner)["config"]["activation"] = {
        "class_name": "__lambda__",
        "config": {"value": "4wAAAA=="},
    }


def foreign_class(learner):
    assert dense(learner)["class_name"] == "Dense"
    dense(learner).update(module="subprocess", class_name="Popen", registered_name=None)


def no_class_of_keras(learner):
    dense(learner).update(module="keras.utils", class_name="get_file", registered_name=None)


def class_that_keras_cannot_build(learner):
    dense(learner).update(module="keras.utils", class_name="Progbar", registered_name=None)


def lambda_by_its_module(learner):
    dense(learner).update(module="keras.src.layers.core.lambda_layer", class_name="Lambda")


def function_of_another_module(learner):
    dense(learner)["config"]["activation"] = {
        "module": "subprocess",
        "class_name": "function",
        "config": "relu",
        "registered_name": "relu",
    }


def frozen_parts_that_are_none(learner):
    learner["config"]["frozen_parts"] = {"layers": True}


def argument_that_is_none(learner):
    learner["config"]["inner_lr"] = 0.1


def foreign_function(learner):
    dense(learner)["config"]["activation"] = {
        "module": "os",
        "class_name": "function",
        "config": "system",
        "registered_name": "system",
    }


def file_of_words(learner):
    dense(learner).update(class_name="StringLookup", config={"vocabulary": "/etc/passwd"})


def unregistered_learner(learner):
    learner["registered_name"] = "stranger>MAML"


def model_on_disk(learner):
    dense(learner).update(class_name="TFSMLayer", config={"filepath": "/tmp/model"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda_layer, "Lambda"),
        (lambda_function, "__lambda__"),
        (foreign_class, "subprocess.Popen"),
        (no_class_of_keras, "get_file, no class"),
        (class_that_keras_cannot_build, "Progbar, no class"),
        (lambda_by_its_module, "Lambda"),
        (foreign_function, "system"),
        (function_of_another_module, "subprocess.relu"),
        (frozen_parts_that_are_none, "frozen layers"),
        (argument_that_is_none, "inner_lr, no arguments of MAML"),
        (file_of_words, "/etc/passwd"),
        (unregistered_learner, "stranger>MAML"),
        (model_on_disk, "TFSMLayer"),
        (lambda learner: learner.pop("compile_config"), "without its class"),
    ],
)
def test_a_configuration_that_would_run_code_is_refused_before_anything_is_built(
    maml, change, said, monkeypatch
):
    preset = changed(preset_of(maml), change)

    def build(*_, **__):
        raise AssertionError("something was built")

    monkeypatch.setattr(keras.saving, "deserialize_keras_object", build)
    with pytest.raises(ValueError, match=said):
        learner_of(tfmeta.MAML, preset, {})


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"parameters/head/bias": None}, "without parameters/head/bias"),
        ({"parameters/more": np.float32([1.0])}, "with parameters/more"),
        ({"parameters/head/bias": np.zeros(2, np.float32)}, r"\(2,\) for float32 \(3,\)"),
        ({"parameters/head/bias": np.zeros(3, np.float64)}, "float64"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(maml, arrays, said):
    preset = preset_of(maml)
    kept = {key: array for key, array in {**preset.arrays, **arrays}.items() if array is not None}
    with pytest.raises(ValueError, match=said):
        learner_of(tfmeta.MAML, Preset(preset.info, kept), {})


def test_a_network_with_code_of_its_own_is_no_preset():
    inputs = keras.Input((2,))
    network = keras.Model(
        inputs, keras.layers.Lambda(lambda x: 2 * x)(keras.layers.Dense(1)(inputs))
    )
    learner = tfmeta.MAML(network)
    learner.compile("sgd", "mse")
    with pytest.raises(ValueError, match="Lambda"):
        preset_config(learner)
