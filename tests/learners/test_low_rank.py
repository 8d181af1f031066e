"""Low-rank updates (LoRA) as what adapts: gradients, files, and the adapted vector."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

import tfmeta
from tests.learners.conftest import compiled
from tfmeta.learners.keras_model.saving import freeze_again, frozen_parts

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def float64(monkeypatch):
    """Keras makes low-rank factors in float32, in which finite differences tell nothing."""
    add_weight = keras.layers.Layer.add_weight

    def in_float64(layer, *arguments, **options):
        if options.get("name", "").startswith("lora_"):
            options["dtype"] = "float64"
        return add_weight(layer, *arguments, **options)

    monkeypatch.setattr(keras.layers.Layer, "add_weight", in_float64)


def low_rank_maml(network):
    keras.utils.set_random_seed(5)
    layers = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    tfmeta.networks.enable_lora(network, 2, layers[:-1])
    layers[-1].trainable = True
    for number, variable in enumerate(network.trainable_variables):
        # Where a factor is zero, the other has no gradient.
        noise = np.random.default_rng(number).normal(size=variable.shape)
        variable.assign(variable + 0.3 * noise)
    return tfmeta.MAML(network, inner_rate=0.2, inner_steps=2)


@pytest.mark.slow
def test_low_rank_updates_have_the_properties_of_every_learner(float64):
    # Finite differences, one pass over the tasks, training that goes on from a file, the export.
    tfmeta.testing.check_learner(low_rank_maml, kind="classification")


def network(**options):
    keras.utils.set_random_seed(2)
    images = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(8, 3, activation="tanh", name="first")(images)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Conv2D(16, 1, activation="tanh", name="second")(x)
    backbone = keras.Model(images, x)
    return tfmeta.networks.with_head(backbone, 3, preprocessing="tf", **options)


@pytest.fixture(scope="module")
def convolutional():
    adapts = network(lora_rank=1, lora_layers=["second"])
    learner = tfmeta.MAML(adapts, inner_rate=0.5, inner_steps=3, normalization="running")
    rng = np.random.default_rng(0)
    support = rng.random((6, 6, 6, 3), "float32"), np.array([0, 1, 2, 0, 1, 2])
    return compiled(learner, LOSS), *support, rng.random((4, 6, 6, 3), "float32")


@pytest.mark.usefixtures("without_traces")
def test_adaptation_is_gradient_descent_on_the_factors(convolutional):
    learner, x, y, query = convolutional
    keras_model = keras.models.clone_model(learner.network)
    keras_model.set_weights(learner.network.get_weights())
    keras_model.compile(keras.optimizers.SGD(0.5), LOSS)
    for _ in range(3):
        keras_model.train_on_batch(x, y)
    expected = keras_model.predict(query, verbose=0)
    assert np.ptp(expected) > 0.1
    answers = learner.adapt(x, y).predict(query, verbose=0)
    np.testing.assert_allclose(answers, expected, atol=1e-5)


def test_a_file_keeps_kernel_and_factors_apart(convolutional, tmp_path):
    learner, x, y, query = convolutional
    expected = learner.adapt(x, y).predict(query, verbose=0)
    learner.save(tmp_path / "learner.keras")
    again = keras.models.load_model(tmp_path / "learner.keras")
    np.testing.assert_array_equal(again.adapt(x, y).predict(query, verbose=0), expected)
    for weight, saved in zip(again.weights, learner.weights, strict=True):
        np.testing.assert_array_equal(weight, saved)
    learner.adapt(x, y).save(tmp_path / "adapted.keras")
    adapted = keras.models.load_model(tmp_path / "adapted.keras")
    np.testing.assert_array_equal(adapted.predict(query, verbose=0), expected)


@keras.saving.register_keras_serializable("tests")
class Backbone(keras.Model):
    """As KerasHub's: it makes its layers itself, also when it is loaded."""

    def __init__(self, **options):
        inputs = keras.Input((3,))
        x = keras.layers.Dense(4, name="dense")(inputs)
        super().__init__(inputs, keras.layers.BatchNormalization(name="norm")(x), **options)

    def get_config(self):
        return {"name": self.name, "trainable": self.trainable}


def test_a_file_keeps_what_is_frozen(tmp_path):
    frozen = tfmeta.networks.with_head(Backbone(name="rows"), 2)
    learner = tfmeta.MAML(frozen)
    learner.save(tmp_path / "learner.keras")
    again = keras.models.load_model(tmp_path / "learner.keras")
    assert again.task_network.paths == learner.task_network.paths == ["head/kernel", "head/bias"]
    assert not again.network.get_layer("rows").get_layer("norm").trainable
    with pytest.raises(ValueError, match="must have the layers that it was saved with"):
        freeze_again(tfmeta.networks.mlp(), frozen_parts(frozen))


def test_weights_of_a_network_without_low_rank_updates_are_refused(convolutional, tmp_path):
    learner, *_ = convolutional
    other = compiled(tfmeta.MAML(network()), LOSS)
    other.save_weights(tmp_path / "plain.weights.h5")
    with pytest.raises(ValueError, match="must have the low-rank updates of its network"):
        learner.load_weights(tmp_path / "plain.weights.h5")


@pytest.mark.slow
def test_the_export_answers_alike_and_its_adapted_vector_is_small(convolutional, tmp_path):
    learner, x, y, query = convolutional
    learner.export(tmp_path, warmup_sizes=[])
    model = tfmeta.saved_model.ExportedModel(tmp_path)
    vector = model("adapt", support_inputs=x, support_targets=y.astype("int32"))
    # second: bias 16, factors 8 x 1 and 1 x 16; head: 16 x 3 and 3. The kernels are not in it.
    assert vector["adapted_weights"].shape == (16 + 8 + 16 + 48 + 3,)
    answer = model(
        "predict_adapted",
        adapted_weights=vector["adapted_weights"],
        weights_fingerprint=vector["weights_fingerprint"],
        query_inputs=query,
    )
    expected = learner.adapt(x, y).predict(query, verbose=0)
    np.testing.assert_allclose(answer["logits"], expected, atol=1e-5)
    with pytest.raises(ValueError, match="takes pixels from 0 to 1"):
        model("adapt", support_inputs=255 * x, support_targets=y.astype("int32"))
    description = json.loads((Path(model.path) / "assets.extra" / "tfmeta.json").read_text())
    assert any("lora_kernel_a" in str(each) for each in description["adapted_weights"]["layout"])
