"""The presets that come with tfmeta: small, with their cards, and what their cards say they are."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tfmeta.presets import card, open_preset, preset_names
from tfmeta.saved_model import ExportedModel

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tfmeta" / "presets" / "shipped"
DEMO = ROOT / "tfmeta" / "serve" / "demo" / "model"
MOST_BYTES = 5 * 10**6


def test_all_together_are_small_and_each_has_its_card():
    files = sorted(path.name for path in FOLDER.iterdir())
    assert files == sorted(f"{name}{end}" for name in preset_names() for end in (".md", ".npz"))
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= MOST_BYTES


@pytest.mark.parametrize("name", preset_names())
def test_a_card_is_made_from_the_evaluation_that_is_kept(name):
    preset = open_preset(name)
    assert preset.name == name
    assert (FOLDER / f"{name}.md").read_text(encoding="utf-8") == card(preset)
    kept = (ROOT / "results" / preset.info["training"]["recipe"]).rglob("evaluation*.json")
    found = [json.loads(path.read_text(encoding="utf-8")) for path in kept]
    assert preset.info["evaluation"] in found
    assert preset.info["license"]
    assert preset.info["data_license"]
    assert preset.info["limits"]


@pytest.mark.parametrize("name", preset_names())
def test_nothing_trained_on_imagenet_is_shipped(name):
    protocol = open_preset(name).info["evaluation"]["protocol"]
    assert protocol["name"] in ("glyphs", "omniglot", "sinusoid")


def test_the_demo_preset_has_the_weights_of_the_model_that_the_demo_serves():
    reader = tf.train.load_checkpoint(str(DEMO / "1" / "variables" / "variables"))
    for group in ("parameters", "state"):
        for index, array in enumerate(open_preset("omniglot_demo").group(group).values()):
            name = f"model/{group}/{index}/.ATTRIBUTES/VARIABLE_VALUE"
            np.testing.assert_array_equal(array, reader.get_tensor(name))


@pytest.mark.slow
def test_the_demo_preset_answers_as_the_model_that_the_demo_serves():
    served = ExportedModel(DEMO)
    learner = tfmeta.MAML.from_preset("omniglot_demo")
    rng = np.random.default_rng(0)
    support = rng.uniform(size=(5, 28, 28, 1)).astype("float32")
    query = rng.uniform(size=(3, 28, 28, 1)).astype("float32")
    labels = np.arange(5, dtype="int32")
    answer = served(
        "adapt_and_predict", support_inputs=support, support_targets=labels, query_inputs=query
    )
    own = learner.adapt(support, labels).predict(query, verbose=0)
    np.testing.assert_allclose(own, answer["logits"], atol=2e-3 * np.abs(own).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in preset_names() if "omniglot" not in name])
def test_a_preset_reaches_what_its_card_says(name):
    """On fresh tasks, by Keras' own metrics, within five standard errors."""
    preset, tasks = open_preset(name), 200
    protocol = preset.info["evaluation"]["protocol"]
    learner = tfmeta.MetaLearner.from_preset(name)
    results = next(iter(preset.info["evaluation"]["results"].values()))
    metric = "accuracy" if "accuracy" in results else "mean_squared_error"
    mean, interval = (results[metric][key][-1] for key in ("mean", "interval95"))
    names = ("ways", "shots", "queries")
    options = {option: protocol[option] for option in names if option in protocol}
    stream = getattr(tfmeta.tasks, protocol["name"])("test", seed=77, count=tasks, **options)
    learner.compile("sgd", learner.loss, metrics=[metric])
    found = learner.evaluate(stream.batch(20), verbose=0, return_dict=True)[metric]
    deviation = interval * np.sqrt(protocol["tasks"]) / 1.96
    assert abs(found - mean) < 5 * deviation / np.sqrt(tasks)
