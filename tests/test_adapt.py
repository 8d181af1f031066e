"""`python -m tfmeta.adapt`: an exported model, two folders of images, answers."""

import csv
import functools
import os
import shutil
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
from PIL import Image

import tfmeta
from tfmeta import folder_prediction
from tfmeta.folder_prediction import models, predicting

WAYS = 3
SIZE = 8
CLASSES = ("left", "right", "top")


@pytest.fixture(scope="module", autouse=True)
def a_version_is_loaded_once():
    """Loading takes longer than answering."""
    with pytest.MonkeyPatch.context() as patch:
        loaded = functools.cache(models.ExportedModel)
        patch.setattr(models, "ExportedModel", loaded)
        yield


@pytest.fixture(scope="module")
def learner():
    keras.utils.set_random_seed(3)
    network = tfmeta.networks.nonconv(WAYS, (SIZE, SIZE, 1), hidden=(8,))
    learner = tfmeta.MAML(network, inner_rate=0.6, inner_steps=5, normalization="inductive")
    learner.compile(
        optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return learner


@pytest.fixture(scope="module")
def export_dir(learner, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    learner.export(folder, warmup_sizes=[], max_support=9, max_query=4)
    shutil.copytree(folder / "1", folder / "10")
    return folder


def write_images(folder, classes, count, seed=0, size=SIZE):
    """Noisy images with the bright half that the class is named after; one folder a class."""
    generator = np.random.default_rng(seed)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = generator.integers(0, 60, (size, size))
            half = {"left": np.s_[:, : size // 2], "right": np.s_[:, size // 2 :]}
            pixels[half.get(name, np.s_[: size // 2])] += 180
            image = Image.fromarray(pixels.astype(np.uint8))
            image.save(folder / name / f"{name}_{index}.png")
    return folder


@pytest.fixture(scope="module")
def support(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("support"), CLASSES, 3)


@pytest.fixture(scope="module")
def query(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("query"), CLASSES, 2, seed=1, size=20)


@pytest.fixture
def flat(query, tmp_path):
    folder = tmp_path / "flat"
    folder.mkdir()
    for file in sorted(query.glob("*/*.png")):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def rows(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_the_command_writes_answers_and_prints_the_accuracy(export_dir, support, query, tmp_path):
    output = tmp_path / "answers"
    command = [
        *(sys.executable, "-m", "tfmeta.adapt", f"--export_dir={export_dir}"),
        *(f"--support={support}", f"--query={query}", f"--output_dir={output}"),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "accuracy 100.0%" in done.stdout
    assert "in 5 inner steps" in done.stdout
    header, *table = rows(output / "predictions.csv")
    assert header[:3] == ["file", "predicted_class", "probability"]
    assert header[3:6] == [f"probability of {name}" for name in CLASSES]
    assert header[6:] == ["outlier_score", "none_of_these"]
    assert [row[0] for row in table] == [f"{c}/{c}_{i}.png" for c in CLASSES for i in (0, 1)]
    for row in table:
        numbers = [float(value) for value in row[3:6]]
        assert sum(numbers) == pytest.approx(1, abs=1e-5)
        assert row[1] == CLASSES[int(np.argmax(numbers))] == row[0].split("/")[0]
        assert float(row[2]) == max(numbers)
        assert row[7] == ""  # no threshold was measured
    with Image.open(output / "predictions.png") as picture:
        assert min(picture.size) > 100


def test_a_learner_in_this_process_answers_as_its_export(learner, export_dir, support, query):
    exported = folder_prediction.predict_folder(export_dir, support, query)
    for steps in (None, 3):
        found = folder_prediction.predict_folder_with(learner, support, query, steps)
        assert found.support_loss.shape == ((steps or 5) + 1,)
        if steps is None:
            np.testing.assert_allclose(found.probabilities, exported.probabilities, atol=1e-5)
            np.testing.assert_allclose(found.support_loss, exported.support_loss, atol=1e-5)
    with pytest.raises(ValueError, match=r"inner_steps must be 0 or more. Received: -1"):
        folder_prediction.predict_folder_with(learner, support, query, -1)
    assert folder_prediction.class_folders(support) == CLASSES


def test_images_of_none_of_the_classes_are_named_where_the_threshold_is_for_such_a_folder(
    support, query, tmp_path
):
    keras.utils.set_random_seed(3)
    network = tfmeta.networks.nonconv(WAYS, (SIZE, SIZE, 1), hidden=(8,))
    learner = tfmeta.PrototypicalNetwork(network)
    learner.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rule = {"score": "nearest_prototype", "threshold": 0.5, "ways": 3, "shots": 3}
    learner.export(tmp_path / "model", warmup_sizes=[], outliers=rule)
    found = folder_prediction.predict_folder(tmp_path / "model", support, query)
    assert (found.outlier_threshold, found.outlier_note) == (0.5, None)
    np.testing.assert_array_equal(found.none_of_these, found.outlier_scores > 0.5)
    folder_prediction.save(found, tmp_path)
    said = [row[7] for row in rows(tmp_path / "predictions.csv")[1:]]
    assert said == ["yes" if strange else "no" for strange in found.none_of_these]
    # Of two images a class the threshold says nothing.
    fewer = write_images(tmp_path / "fewer", CLASSES, 2)
    other = folder_prediction.predict_folder(tmp_path / "model", fewer, query)
    assert other.none_of_these is None
    assert other.outlier_scores.shape == (6,)
    assert (
        "3 images of each, and 1 inner steps. Received: 3 classes, 2 images" in other.outlier_note
    )
    # Nor of other inner steps.
    same = folder_prediction.predict_folder(tmp_path / "model", support, query, 1)
    assert same.outlier_threshold == 0.5
    longer = folder_prediction.predict_folder(tmp_path / "model", support, query, 4)
    assert "and 4 inner steps" in longer.outlier_note
    folder_prediction.save(longer, tmp_path)
    assert {row[7] for row in rows(tmp_path / "predictions.csv")[1:]} == {""}


def test_names_of_any_bytes_are_written_and_drawn(tmp_path):
    names = [os.fsdecode(name) for name in (b"caf\xe9", b"$x", b"\xff.png")]
    found = folder_prediction.FolderPredictions(
        class_names=tuple(names[:2]),
        file_names=(names[2],),
        probabilities=np.float32([[0.6, 0.4]]),
        images=np.zeros((1, 4, 4, 1), np.uint8),
        labels=np.array([1]),
        support_loss=np.float32([1.0]),
    )
    table, _ = folder_prediction.save(found, tmp_path)
    assert table.read_bytes().splitlines()[1] == b"\xff.png,caf\xe9,0.600000,0.600000,0.400000"
    assert folder_prediction.readable(names[0]) == "caf\ufffd"


def test_a_flag_that_is_missing_or_a_wrong_directory_is_said_in_a_line(support, query, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])}
    command = [sys.executable, "-m", "tfmeta.adapt", f"--query={query}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert "Received: no --export_dir" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_flat_query_folder_gives_the_same_answers_without_an_accuracy(
    export_dir, support, query, flat
):
    unnamed = folder_prediction.predict_folder(export_dir, support, flat)
    named = folder_prediction.predict_folder(export_dir, support, query)
    assert unnamed.accuracy is None
    assert named.accuracy == 1.0
    np.testing.assert_allclose(unnamed.probabilities, named.probabilities, rtol=1e-5)


def test_the_newest_version_is_taken_unless_one_is_given(export_dir, support, flat):
    from tfmeta.saved_model.exported_model import find_version

    assert find_version(export_dir).name == "10"
    assert find_version(export_dir / "1").name == "1"
    answer = folder_prediction.predict_folder(export_dir / "1", support, flat)
    assert len(answer.file_names) == 6


def test_inner_steps_can_be_chosen(export_dir, support, flat):
    none = folder_prediction.predict_folder(export_dir, support, flat, inner_steps=0)
    more = folder_prediction.predict_folder(export_dir, support, flat, inner_steps=30)
    assert none.support_loss.shape == (1,)
    assert more.support_loss.shape == (31,)
    assert more.probabilities.max(axis=-1).mean() > none.probabilities.max(axis=-1).mean()
    with pytest.raises(ValueError, match=r"inner_steps must be in \[0, 1000\]. Received: -1"):
        folder_prediction.predict_folder(export_dir, support, flat, inner_steps=-1)


def test_fewer_classes_than_the_model_has_share_all_the_probability(export_dir, query, tmp_path):
    two = write_images(tmp_path / "two", CLASSES[:2], 3)
    other = write_images(tmp_path / "other", CLASSES[:2], 2, seed=1)
    answer = folder_prediction.predict_folder(export_dir, two, other)
    assert answer.probabilities.shape == (4, 2)
    np.testing.assert_allclose(answer.probabilities.sum(axis=-1), 1, rtol=1e-5)
    assert answer.accuracy == 1.0
    with pytest.raises(ValueError, match=r"named as classes of the support folder.*Received: top"):
        folder_prediction.predict_folder(export_dir, two, query)


def test_more_classes_or_images_than_the_model_takes_are_refused(export_dir, flat, tmp_path):
    four = write_images(tmp_path / "four", (*CLASSES, "bottom"), 1)
    with pytest.raises(ValueError, match=r"at most 3 classes.*4 folders: bottom, left"):
        folder_prediction.predict_folder(export_dir, four, flat)
    many = write_images(tmp_path / "many", CLASSES, 4)
    with pytest.raises(ValueError, match=r"adapts to at most 9 images. Received: 12"):
        folder_prediction.predict_folder(export_dir, many, flat)


def test_folders_that_are_missing_or_empty_are_named(export_dir, support, flat, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere, which is not there"):
        folder_prediction.predict_folder(tmp_path / "nowhere", support, flat)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="which has none"):
        folder_prediction.predict_folder(tmp_path / "empty", support, flat)
    with pytest.raises(FileNotFoundError, match="empty without any"):
        folder_prediction.predict_folder(export_dir, support, tmp_path / "empty")
    with pytest.raises(ValueError, match="must hold a folder of images for each class"):
        folder_prediction.predict_folder(export_dir, flat, flat)
    broken = write_images(tmp_path / "broken", CLASSES, 1)
    (broken / "void").mkdir()
    with pytest.raises(FileNotFoundError, match="void without any"):
        folder_prediction.predict_folder(export_dir, broken, flat)


def test_a_regression_is_refused(support, flat, tmp_path):
    learner = tfmeta.MAML(tfmeta.networks.mlp(hidden=(2,)))
    learner.compile(optimizer="sgd", loss="mse")
    path = learner.export(tmp_path, warmup_sizes=[])
    with pytest.raises(ValueError, match=r"classifier of images.*a regression model"):
        folder_prediction.predict_folder(path, support, flat)


def test_deep_images_of_both_folders_have_one_scale(tmp_path):
    for name, values in (("support", (0, 4000)), ("query", (0, 200))):
        for value in values:
            folder = tmp_path / name / str(value)
            folder.mkdir(parents=True)
            Image.fromarray(np.full((4, 4), value, np.uint16)).save(folder / "1.png")
    folders = tmp_path / "support", tmp_path / "query"

    def brightest(preprocessing):
        model = types.SimpleNamespace(description={"preprocessing": preprocessing})
        both = predicting._on_one_scale(model, *folders, (4, 4, 1))
        return [int(each.images.max()) for each in both]

    assert brightest({}) == [249, 12]  # of 4,095
    assert brightest({"levels": {"integers": [0, 65535], "floats": [0, 1]}}) == [16, 1]


def test_images_are_prepared_as_the_export_says():
    pixels = np.array([[[0], [255], [51]]], np.uint8)
    plain = predicting.prepare(pixels, {})
    np.testing.assert_allclose(plain.ravel(), [0, 1, 0.2], rtol=1e-6)
    inverted = predicting.prepare(pixels, {"invert": True})
    np.testing.assert_allclose(inverted.ravel(), [1, 0, 0.8], rtol=1e-6, atol=1e-7)
    unscaled = predicting.prepare(pixels, {"scale": 1.0})
    np.testing.assert_array_equal(unscaled.ravel(), [0, 255, 51])
