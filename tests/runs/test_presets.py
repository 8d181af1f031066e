"""A run becomes a preset, and a preset an export."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tfmeta.runs import building, restore
from tfmeta.runs.presets import cached_export, export_preset, make_preset
from tfmeta.runs.recipe import RecipeError, config, read_recipe


@pytest.fixture(scope="module")
def finished(tmp_path_factory, small_recipe):
    """The work directory of a small run."""
    from tfmeta.runs import train

    workdir = tmp_path_factory.mktemp("runs") / "small"
    assert train(small_recipe("evaluate.checkpoint = 'last'"), workdir) == 0
    return workdir


@pytest.fixture(scope="module")
def preset(finished, tmp_path_factory):
    path = tmp_path_factory.mktemp("presets") / "small.npz"
    make_preset(finished, path, license="MIT", name="small", limits=["Not for navigation."])
    return path


def test_a_preset_has_the_weights_the_evaluation_and_the_recipe_of_its_run(finished, preset):
    learner, trained = tfmeta.MAML.from_preset(preset), restore(finished)
    for first, second in zip(learner.parameter_variables, trained.parameter_variables, strict=True):
        np.testing.assert_array_equal(first, second)
    x = np.linspace(-3, 3, 5, dtype="float32")[:, None]
    first, second = (one.adapt(x, np.sin(x)).predict(x, verbose=0) for one in (learner, trained))
    np.testing.assert_array_equal(first, second)
    info = tfmeta.presets.open_preset(preset).info
    assert info["evaluation"] == json.loads((finished / "evaluation.json").read_text())
    assert info["training"]["step"] == info["training"]["steps"] == 12
    text = tfmeta.presets.card(tfmeta.presets.open_preset(preset))
    assert "- Not for navigation." in text
    assert "of step 12 of the recipe's 12" in text
    mean = info["evaluation"]["results"]["transductive"]["mean_squared_error"]["mean"]
    assert f"| {mean[0]:.4g} " in text


def test_the_same_run_gives_the_same_file(finished, preset, tmp_path):
    again = make_preset(
        *(finished, tmp_path / "again.npz"),
        **{"license": "MIT", "name": "small", "limits": ["Not for navigation."]},
    )
    assert again.sha256 == tfmeta.presets.open_preset(preset).sha256


def test_what_was_kept_of_a_run_becomes_the_same_preset(finished, preset, tmp_path):
    for name in ("config.gin", "evaluation.json"):
        shutil.copyfile(finished / name, tmp_path / name)
    learner = restore(finished)
    weights = zip(learner.parameter_paths, learner.parameter_variables, strict=True)
    np.savez(tmp_path / "weights.npz", **{path: np.asarray(w) for path, w in weights})
    kept = make_preset(tmp_path, tmp_path / "kept.npz", license="MIT", name="small")
    for key, array in tfmeta.presets.open_preset(preset).arrays.items():
        np.testing.assert_array_equal(kept.arrays[key], array)


def test_a_run_that_was_not_evaluated_or_has_no_weights_is_refused(finished, tmp_path):
    shutil.copyfile(finished / "config.gin", tmp_path / "config.gin")
    with pytest.raises(RecipeError, match=r"tfmeta\.evaluate"):
        make_preset(tmp_path, tmp_path / "x.npz", license="MIT")
    shutil.copyfile(finished / "evaluation.json", tmp_path / "evaluation.json")
    with pytest.raises(RecipeError, match="those of step 12"):
        make_preset(tmp_path, tmp_path / "x.npz", license="MIT")


def test_kept_weights_of_a_network_with_batch_normalisation_are_enough(tmp_path):
    """Its moving averages are state, which a transductive learner does not change."""
    small = ("conv4.filters = 2", "glyphs.queries = 1", "run.deterministic = False")
    asked = read_recipe(["glyphs_5way_1shot_maml.gin"], small)
    with config.configured(asked) as settings:
        (tmp_path / "config.gin").write_text(settings.config)
        learner = building.build_learner(settings, tf.distribute.get_strategy())
    weights = {
        path: np.full(variable.shape, 0.125, "float32")
        for path, variable in zip(learner.parameter_paths, learner.parameter_variables, strict=True)
    }
    np.savez(tmp_path / "weights.npz", **weights)
    protocol = {"recipe": "glyphs", "step": 7, "name": "glyphs", "ways": 5, "shots": 1}
    evaluation = {"protocol": protocol, "results": {"transductive": {}}}
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    kept = make_preset(tmp_path, tmp_path / "kept.npz", license="MIT")
    assert kept.group("parameters").keys() == weights.keys()
    assert any("moving_mean" in path for path in kept.group("state"))
    for array in kept.group("parameters").values():
        assert np.all(array == 0.125)
    running = (tmp_path / "config.gin").read_text() + "\nMAML.normalization = 'running'\n"
    (tmp_path / "config.gin").write_text(running)
    with pytest.raises(RecipeError, match="holds no state"):
        make_preset(tmp_path, tmp_path / "other.npz", license="MIT")


def test_a_folder_in_the_cache_is_never_removed(preset, tmp_path, monkeypatch):
    monkeypatch.setenv("TFMETA_CACHE_DIR", str(tmp_path))

    def export(learner, folder, **_):
        (Path(folder) / "1").mkdir(parents=True)
        (Path(folder) / "1" / "saved_model.pb").write_text("this process's")
        # What another process has made meanwhile, whole or not.
        (made,) = (tmp_path / "presets").iterdir()
        (made / "small" / "1").mkdir(parents=True)
        (made / "small" / "1" / other).write_text("another's")

    monkeypatch.setattr(tfmeta.MAML, "export", export)
    other = "variables"
    with pytest.raises(RecipeError, match="Remove that folder"):
        cached_export(preset)
    (found,) = (tmp_path / "presets").glob("*/small/1/*")
    assert found.read_text() == "another's"
    shutil.rmtree(tmp_path / "presets")
    other = "saved_model.pb"
    folder = cached_export(preset)
    assert (folder / "1" / other).read_text() == "another's"


@pytest.mark.slow
def test_a_preset_is_exported_and_its_export_is_kept(preset, tmp_path, monkeypatch):
    from tfmeta.saved_model import ExportedModel

    monkeypatch.setenv("TFMETA_CACHE_DIR", str(tmp_path))
    folder = cached_export(preset)
    assert folder.name == "small"
    made = (folder / "1" / "saved_model.pb").stat().st_mtime_ns
    assert cached_export(preset) == folder
    assert (folder / "1" / "saved_model.pb").stat().st_mtime_ns == made
    other = export_preset(preset, tmp_path / "out")
    x = np.linspace(-3, 3, 5, dtype="float32")[:, None]
    own = tfmeta.MAML.from_preset(preset).adapt(x, np.sin(x)).predict(x, verbose=0)
    for directory in (folder, other):
        model = ExportedModel(directory)
        answer = model(
            "adapt_and_predict", support_inputs=x, support_targets=np.sin(x), query_inputs=x
        )
        np.testing.assert_allclose(answer["predictions"], own, rtol=1e-4, atol=1e-5)
        assert model.description["extra"]["preset"] == "small"

    # Made by way of the export's own variables, it is the same preset.
    for name in ("config.gin", "evaluation.json"):
        source = tfmeta.presets.open_preset(preset).info
        text = source["training"]["config"] if name == "config.gin" else None
        (tmp_path / name).write_text(text or json.dumps(source["evaluation"]))
    again = make_preset(tmp_path, tmp_path / "again.npz", license="MIT", export_dir=other)
    for key, array in tfmeta.presets.open_preset(preset).arrays.items():
        np.testing.assert_array_equal(again.arrays[key], array)
