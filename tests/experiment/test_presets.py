"""A run becomes a preset, and a preset an export."""

import json
import shutil

import numpy as np
import pytest

import tfmeta
from tfmeta.experiment import restore
from tfmeta.experiment.presets import cached_export, export_preset, make_preset
from tfmeta.recipe import RecipeError


@pytest.fixture(scope="module")
def finished(tmp_path_factory, small_recipe):
    """The work directory of a small run."""
    from tfmeta.experiment import train

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


@pytest.mark.slow
def test_a_preset_is_exported_and_its_export_is_kept(preset, tmp_path, monkeypatch):
    from tfmeta.export import ExportedModel

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
