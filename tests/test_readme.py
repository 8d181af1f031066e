"""The documents: their code runs, their commands exist, their links lead somewhere."""

import ast
import json
import re
import shlex
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import tfmeta
from tfmeta.runs import recipe
from tfmeta.saved_model import ExportedModel

ROOT = Path(__file__).parents[1]
PAGES = tuple(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").rglob("*.md")))
DOCUMENTS = (
    *("README.md", "BUILD.md", "CHANGELOG.md", "export/README.md", "export/SERVER.md"),
    *PAGES,
)
SIZES = {"README.md": 7_000, "BUILD.md": 10_000}
# A block that trains long enough for a result is run shorter.
SMALL = {"image_shape=(28, 28, 1))": "image_shape=(28, 28, 1), filters=8)"}
SHORTER = {
    "README.md": {
        **SMALL,
        "steps_per_epoch=20, epochs=2": "steps_per_epoch=1, epochs=2",
        "count=32": "count=8",
    },
    "docs/guides/own_images.md": {
        **SMALL,
        "steps_per_epoch=200, epochs=10": "steps_per_epoch=1",
        "count=200": "count=8",
        "inner_steps=3": "inner_steps=1",
    },
}
CLASSES, IMAGES = 25, 6


def text_of(document):
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(document), re.M | re.S)


def commands(document):
    """Command lines of a document's shell blocks, split at `&&`, without comments."""
    lines = "\n".join(blocks(document, "bash")).replace("\\\n", " ").splitlines()
    return [part.strip() for line in lines for part in line.split("&&") if part.strip()]


def draw_images(folder):
    """Noise of a brightness of its own for each class."""
    generator = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / f"class_{label}").mkdir(parents=True)
        for index in range(IMAGES):
            pixels = generator.integers(label * 9, label * 9 + 30, (28, 28)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"class_{label}" / f"{index}.png")


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        pytest.param("docs/guides/own_images.md", marks=pytest.mark.slow),
        pytest.param("docs/guides/python.md", marks=pytest.mark.slow),
    ],
)
def test_the_python_block_of_a_document_runs_and_exports(document, tmp_path, monkeypatch):
    (source,) = blocks(document, "python")
    for long, short in SHORTER.get(document, {}).items():
        assert long in source
        source = source.replace(long, short)
    if "my_images" in source:
        draw_images(tmp_path / "my_images")
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    exec(compile(source, document, "exec"), {})
    export_dir = re.search(r'learner\.export\("(.+)"\)', source)[1]
    assert (tmp_path / export_dir / "1" / "saved_model.pb").is_file()


@pytest.mark.parametrize(("document", "most"), SIZES.items())
def test_a_document_of_the_top_folder_stays_short(document, most):
    assert len(text_of(document)) <= most


def test_the_body_of_a_request_is_answered_by_an_export(tmp_path):
    learner = tfmeta.MAML(tfmeta.networks.mlp(hidden=(8,)), inner_steps=2)
    learner.compile("sgd", "mean_squared_error")
    learner.export(tmp_path, warmup_sizes=[])
    body = json.loads(blocks("docs/guides/serving.md", "json")[0])
    assert body == json.loads(text_of("export/clients/curl/request.json"))
    request = {name: np.array(value, np.float32) for name, value in body["inputs"].items()}
    answer = ExportedModel(tmp_path)("adapt_and_predict", **request)
    assert answer["predictions"].shape == (2, 1)
    assert answer["support_loss"].shape == (3,)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_name_modules_flags_and_recipes_that_exist(document):
    for line in commands(document):
        words = shlex.split(line, comments=True)
        if "-m" not in words or words[words.index("-m") + 1].split(".")[0] not in (
            "tfmeta",
            "benchmarks",
        ):
            continue
        module = words[words.index("-m") + 1]
        path = ROOT / Path(*module.split("."))
        source = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        known = defined_flags(source)
        for word in words[words.index("-m") + 2 :]:
            flag = re.match(r"--(\w+)", word)
            assert not flag or flag[1] in known, f"{document}: {line}: no flag {word}"
            name = re.match(r"--gin_file=(?:gin/)?(.+)", word)
            assert not name or name[1] in recipe.recipe_names(), f"{document}: {line}"


def defined_flags(source):
    """Names of the flags that all commands have, and that this one and what it imports define.

    Flags are looked for in benchmarks, in modules of flags (`tfmeta/serve/command_flags.py`), and
    in modules whose `define_flags` is called.
    """
    tree = ast.parse(source.read_text(encoding="utf-8"))
    found = {"gin_param", "help", "helpfull"}
    defining = {
        node.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "define_flags"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("tfmeta."):
            folder = ROOT / Path(*node.module.split("."))
            imported = [folder / f"{alias.name}.py" for alias in node.names]
            imported = [path for path in imported if path.stem in defining]
            found |= {flag for path in imported for flag in defined_flags(path)}
        if isinstance(node, ast.ImportFrom) and node.module == "benchmarks":
            imported = (ROOT / "benchmarks" / f"{alias.name}.py" for alias in node.names)
            found |= {flag for path in imported for flag in defined_flags(path)}
        if isinstance(node, ast.ImportFrom) and node.module == "tfmeta.serve":
            names = [alias.name for alias in node.names if alias.name.endswith("_flags")]
            imported = (ROOT / "tfmeta" / "serve" / f"{name}.py" for name in names)
            found |= {flag for path in imported for flag in defined_flags(path)}
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            found.add(str(node.args[0].value).removeprefix("--"))
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_inside_the_repository_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)\)", text_of(document)):
        if "://" not in target:
            assert ((ROOT / document).parent / target).exists(), f"{document}: {target}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_a_document_names_exist(document):
    named = re.findall(r"`((?:tfmeta|tests|gin|benchmarks|export)/[\w/.]*)`", text_of(document))
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_ci_runs_the_readmes_test_command():
    command = next(line for line in commands("README.md") if "pytest" in line)
    assert command in text_of(".ci/run").splitlines()


def test_the_first_command_runs_a_recipe_that_needs_no_data():
    line = blocks("README.md", "bash")[0]
    assert line.count("\n") == 1
    assert "gin/sinusoid_maml.gin" in line
