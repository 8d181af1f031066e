"""The Python and the commands of the guides run, in the order of the page."""

import csv
import io
import json
import re
import shlex
import subprocess
import sys
import types
import urllib.request
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.test_adapt import write_images
from tfmeta.runs import train
from tfmeta.runs.recipe import read_recipe
from tfmeta.saved_model import ExportedModel
from tfmeta.tasks import sales_table

GUIDES = Path(__file__).parents[1] / "docs" / "guides"
SHORTER = (("steps_per_epoch=10", "steps_per_epoch=2"),)


def blocks(language, name):
    text = (GUIDES / name).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("own_tasks.md", r"\[\[\d+\.\d+\]\]"),  # a forecast of sales
        ("own_learner.md", r"(?s)decay_factor.*value=0\.\d+.*all properties hold"),
        ("phone.md", r"largest prediction \d+\.\d+"),
        ("any_ways.md", ""),
        ("none_of_these.md", r"(energy|max_logit|nearest_prototype) -?\d+\.\d+ 0\.\d+"),
    ],
)
def test_the_python_of_a_guide_runs(name, printed, tmp_path, monkeypatch, capsys):
    source = "\n".join(blocks("python", name))
    for long, short in SHORTER:
        assert long in source
        source = source.replace(long, short)
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    exec(compile(source, name, "exec"), {})
    assert re.search(printed, capsys.readouterr().out)


@pytest.mark.slow
def test_the_search_of_a_guide_runs(tmp_path, monkeypatch, capsys):
    """The nine trials of the guide, each of a single step."""
    pytest.importorskip("keras_tuner", reason="no keras-tuner: pip install 'tfmeta[test]'")
    source = "\n".join(blocks("python", "search.md"))
    long = "steps_per_epoch=200, epochs=5"
    assert long in source
    monkeypatch.chdir(tmp_path)
    source = source.replace(long, "steps_per_epoch=1, epochs=1")
    exec(compile(source.replace("count=200", "count=25"), "search.md", "exec"), {})
    said = capsys.readouterr().out
    assert re.search(r"\{'inner_rate': 0\.\d+, 'inner_steps': \d\}", said)
    assert re.search(r"'loss': \d+\.\d+", said)
    assert len(list((tmp_path / "runs" / "search" / "sinusoid").glob("trial_*"))) == 9


@pytest.mark.slow
def test_the_guide_to_pretrained_networks_runs_in_small(tmp_path, monkeypatch, capsys):
    *in_python, client, low_rank = blocks("python", "pretrained.md")
    source = "\n".join([*in_python, low_rank]).replace("224", "32")
    source = source.replace("include_top=False", "include_top=False, weights=None")
    monkeypatch.chdir(tmp_path)
    exec(compile(source, "pretrained.md", "exec"), {})
    # A layer of 96 x 576 in rank 2 has no bias; the head has (576 + 1) x 8 numbers.
    assert capsys.readouterr().out.split("\n")[:2] == ["(16, 8)", str(2 * (96 + 576) + 577 * 8)]

    classes = ("left", "right", "top")
    write_images(tmp_path / "photos", classes, 3, size=32)
    write_images(tmp_path / "new_photos", classes, 2, seed=1, size=40)
    outputs = []
    commands = ("-m tfmeta.adapt", "-m tfmeta.export")
    own = [b for b in blocks("bash", "pretrained.md") if any(name in b for name in commands)]
    for command in own:  # the others are of benchmarks
        (line,) = command.strip().splitlines()
        program = [sys.executable, *shlex.split(line)[1:], "--weights=none", "--image_size=32"]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert "6 images predicted: predictions.csv, predictions.png" in outputs[0]
    answered = (tmp_path / "predictions.csv").read_text(encoding="utf-8")

    served = ["--export_dir=exported/photos", "--support=photos", "--query=new_photos"]
    program = [sys.executable, "-m", "tfmeta.adapt", *served, "--output_dir=served"]
    subprocess.run(program, capture_output=True, text=True, check=True)
    again = (tmp_path / "served" / "predictions.csv").read_text(encoding="utf-8")
    for row, other in zip(answered.splitlines()[1:], again.splitlines()[1:], strict=True):
        file, predicted, *numbers = row.split(",")
        assert other.split(",")[:2] == [file, predicted]
        # Probabilities and the outlier score; no threshold was measured, so the last cell is empty.
        *served_numbers, unknown = other.split(",")[2:]
        assert numbers.pop() == unknown == ""
        assert [float(n) for n in served_numbers] == pytest.approx(
            [float(n) for n in numbers], abs=1e-4
        )
    metadata = (tmp_path / "exported" / "photos" / "1" / "assets.extra" / "tfmeta.json").read_text()
    assert '"network": "MobileNetV3Small"' in metadata

    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "tfmeta_client", types.SimpleNamespace(Client=WithoutServer))
    exec(compile(client.replace("224", "32"), "pretrained.md", "exec"), {})
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert said == [row.split(",")[:2] for row in answered.splitlines()[1:]]


class WithoutServer:
    """The client's calls of the guide, answered by the export's signatures in this process."""

    def __init__(self, target, model):
        self.model = ExportedModel(f"exported/{model}/1")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def adapt(self, support_inputs, support_targets):
        answer = self.model("adapt", support_inputs=support_inputs, support_targets=support_targets)
        self.kept = {name: answer[name] for name in ("adapted_weights", "weights_fingerprint")}
        return self

    def predict(self, query_inputs):
        return self.model("predict_adapted", **self.kept, query_inputs=query_inputs)


@pytest.mark.slow
def test_the_recipe_of_own_images_trains_by_the_guides_own_bindings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "my_images", [f"class_{i:02d}" for i in range(25)], 6)
    words = shlex.split(blocks("bash", "own_images.md")[0].replace("\\\n", " "))
    params = [word.partition("=")[2] for word in words if word.startswith("--gin_param=")]
    short = ["train.steps = 2", "evaluate.tasks = 4", "export.enabled = False"]
    recipe = read_recipe(["images_5way_1shot_maml.gin"], [*params, *short])
    assert train(recipe, "runs/my_images") == 0
    protocol = json.loads(Path("runs/my_images/evaluation.json").read_text())["protocol"]
    assert (protocol["ways"], protocol["shots"], protocol["queries"]) == (5, 1, 5)


@pytest.mark.slow
def test_a_simulator_of_the_guide_trains_by_its_recipe(tmp_path, monkeypatch):
    """The file of tasks and the recipe are the guide's; the same seed and index, the same task."""
    monkeypatch.chdir(tmp_path)
    source = blocks("python", "own_tasks.md")[-1].split("\n\n\nlearner = ")[0]
    Path("my_tasks.py").write_text(source, encoding="utf-8")
    page = (GUIDES / "own_tasks.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```\n(import my_tasks\n.*?)```", page, re.S)
    Path("oscillators_maml.gin").write_text(lines, encoding="utf-8")
    short = ["train.steps = 2", "evaluate.tasks = 4", "validate.tasks = 4"]
    assert train(read_recipe(["oscillators_maml.gin"], short), "runs/oscillators") == 0
    protocol = json.loads(Path("runs/oscillators/evaluation.json").read_text())["protocol"]
    assert (protocol["name"], protocol["shots"]) == ("oscillators", 10)

    import my_tasks

    whole = next(iter(my_tasks.oscillators(seed=3).batch(8)))
    later = my_tasks.oscillators(seed=3, start=5).sample(5)
    for together, alone in zip(*map(tf.nest.flatten, (whole, later)), strict=True):
        np.testing.assert_array_equal(together[5], alone)


@pytest.mark.slow
def test_the_guide_from_a_table_to_a_served_forecast_runs(tmp_path, monkeypatch, capsys):
    """Its training for two steps; its client is answered by the signature, without a server."""
    monkeypatch.chdir(tmp_path)
    table = sales_table(shops=40, rows=(3, 8), seed=0)
    with open("shops.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([table, *zip(*table.values(), strict=True)])
    words = shlex.split(blocks("bash", "own_table.md")[0].replace("\\\n", " "))
    params = [word.partition("=")[2] for word in words if word.startswith("--gin_param=")]
    short = ["train.steps = 2", "validate.every = 2", "validate.tasks = 8", "evaluate.tasks = 8"]
    assert train(read_recipe(["sales_maml.gin"], [*params, *short]), "runs/shops") == 0
    capsys.readouterr()

    Path("exported").mkdir()
    Path("runs/shops/export").rename("exported/shops")
    model = ExportedModel("exported/shops/1")

    def urlopen(url, body):
        assert url == "http://localhost:8501/v1/models/shops:predict"
        inputs = {k: np.array(v, np.float32) for k, v in json.loads(body)["inputs"].items()}
        answer = {k: np.asarray(v).tolist() for k, v in model("serving_default", **inputs).items()}
        return io.BytesIO(json.dumps({"outputs": answer}).encode())

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    in_python, client = blocks("python", "own_table.md")
    exec(in_python.replace("runs/shops/export", "exported/shops"), {})
    exec(client, {})
    forecast, served = re.findall(r"\[\[(\d+\.\d+)\]\]", capsys.readouterr().out)
    assert float(served) == pytest.approx(float(forecast), rel=1e-4)
