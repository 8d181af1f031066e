"""The rooms of the house: imports go downwards only, and never side by side.

Read from the sources by `ast`, so that an import inside a function counts too.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the top: what stands in one tuple stands side by side.
FLOORS = (
    ("commands",),
    ("runs",),
    ("evaluation", "folder_prediction", "testing"),
    ("learners", "rl"),
    ("saved_model",),
    ("inner",),
    ("derivatives",),
    ("parallel",),
    ("presets",),
    ("tasks", "networks"),
    ("process",),
)
# The floors of `learners`, from the top. What no floor names is an algorithm, and stands above.
FLOORS_OF_LEARNERS = (
    "meta_learner",
    "answers",
    "keras_model",
    "core",
    "batch",
    "checks",
    "contracts",
)
# Modules whose room is not the name after "tfmeta.".
ROOM_OF = {
    "tfmeta.__main__": "commands",
    "tfmeta": "process",  # the lazy names: nothing is imported until one is used
    "tfmeta.adapt": "commands",
    "tfmeta.calibration": "evaluation",  # its earlier place, for one release
    "tfmeta.evaluate": "commands",
    "tfmeta.export": "commands",
    "tfmeta.table": "commands",
    "tfmeta.train": "commands",
    "tfmeta.parts": "learners",
    "tfmeta.presets.__main__": "commands",
}
# Beside all floors: a server knows an exported directory, and nothing of what wrote it.
SERVE = "serve"
MAY_IMPORT_GIN = ("commands", "runs")
# What is private to TensorFlow is touched in few places, each of which says why.
PRIVATE_TENSORFLOW = (
    "tfmeta.saved_model.warmup",
    "tfmeta.derivatives.exact",
    "tfmeta.inner.inexact",
    "tfmeta.derivatives.recorded",
    "tfmeta.parallel.converters.registry",
)
# Keras' private modules are imported by one module; `tests/test_private_names.py` lists the rest.
PRIVATE_KERAS = ("tfmeta.inner.keras_internals",)


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted((ROOT / "tfmeta").rglob("*.py"))}


def room_of(module):
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        known = ROOM_OF.get(".".join(parts[:length]))
        if known and (length > 1 or len(parts) == 1):
            return known
    return parts[1]


def imported(tree, modules):
    """Dotted names that a module imports, with the line of each."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                is_module = inside in modules or node.module == "tfmeta"
                found.append((inside if is_module else node.module, node.lineno))
    return found


def floor_of(room):
    return next(number for number, floor in enumerate(FLOORS) if room in floor)


def may_import(importer, target):
    """Whether a module of one room may import from another."""
    if importer == target or target == "process":
        return True
    if SERVE in (importer, target):
        return importer == "commands"
    return floor_of(importer) < floor_of(target)


def wrong_imports(module, tree, modules):
    """Each import of `module` that the house does not allow, as a sentence."""
    room, wrong = room_of(module), []
    for name, line in imported(tree, modules):
        target = room_of(name) if name.split(".")[0] == "tfmeta" else None
        if target and not may_import(room, target):
            wrong.append(f"{module}:{line}: {room} may not import {name} ({target})")
        if name.split(".")[0] == "gin" and room not in MAY_IMPORT_GIN:
            wrong.append(f"{module}:{line}: {room} may not know gin")
        if name.startswith("tensorflow.python") and module not in PRIVATE_TENSORFLOW:
            wrong.append(f"{module}:{line}: {name} is private to TensorFlow")
        if name.startswith("keras.src") and module not in PRIVATE_KERAS:
            wrong.append(f"{module}:{line}: {name} is private to Keras")
    return wrong


def floor_of_learners(module):
    """How deep a module of `learners` stands: 0 for an algorithm."""
    name = [*module.split("."), ""][2]
    return FLOORS_OF_LEARNERS.index(name) + 1 if name in FLOORS_OF_LEARNERS else 0


def upward_imports(module, tree, modules):
    """Each import of a module of `learners` from a floor above its own, as a sentence."""
    return [
        f"{module}:{line}: may not import {name}"
        for name, line in imported(tree, modules)
        if name.startswith("tfmeta.learners")
        and floor_of_learners(name) < floor_of_learners(module)
    ]


@pytest.mark.parametrize("module", [name for name in SOURCES if name.startswith("tfmeta.learners")])
def test_a_module_of_learners_imports_from_no_floor_above(module):
    tree = ast.parse(SOURCES[module].read_text(encoding="utf-8"))
    assert upward_imports(module, tree, SOURCES) == []


def test_every_floor_of_learners_exists():
    found = {name.split(".")[2] for name in SOURCES if name.startswith("tfmeta.learners.")}
    assert set(FLOORS_OF_LEARNERS) <= found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tfmeta.learners.batch.batches", "from tfmeta.learners.keras_model import guards"),
        ("tfmeta.learners.core.parts", "from tfmeta.learners.meta_learner import MetaLearner"),
        ("tfmeta.learners.meta_learner", "def f():\n    from tfmeta.learners.maml import MAML"),
        ("tfmeta.learners.keras_model.saving", "from tfmeta.learners import MetaLearner"),
    ],
)
def test_an_import_from_a_floor_above_is_found(module, source):
    assert len(upward_imports(module, ast.parse(source), SOURCES)) == 1


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_imports_only_from_rooms_below(module):
    tree = ast.parse(SOURCES[module].read_text(encoding="utf-8"))
    assert wrong_imports(module, tree, SOURCES) == []


def test_every_module_has_a_room():
    rooms = {room for floor in FLOORS for room in floor} | {SERVE}
    assert {room_of(module) for module in SOURCES} <= rooms


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("tfmeta.tasks.glyphs", "from tfmeta import learners", "tasks may not import"),
        ("tfmeta.tasks.glyphs", "from tfmeta.networks import conv4", "tasks may not import"),
        ("tfmeta.parallel.converters.patches", "import tfmeta.inner", "parallel may not import"),
        (
            "tfmeta.saved_model.guards",
            "def f():\n    from tfmeta.learners import MAML",
            "saved_model may",
        ),
        ("tfmeta.saved_model.guards", "from tfmeta import export", "saved_model may"),
        ("tfmeta.learners.maml", "from tfmeta.runs.run import train", "learners may not"),
        ("tfmeta.learners.maml", "import gin", "may not know gin"),
        ("tfmeta.serve.http", "from tfmeta.saved_model import read_description", "serve may not"),
        ("tfmeta.learners.maml", "from tensorflow.python.ops import nn_impl", "is private"),
        ("tfmeta.learners.maml", "from keras.src.backend import common", "private to Keras"),
    ],
)
def test_a_wrong_import_is_found(module, source, said):
    wrong = wrong_imports(module, ast.parse(source), SOURCES)
    assert len(wrong) == 1
    assert said in wrong[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tfmeta.learners.maml", "from tfmeta import saved_model, inner, parallel"),
        ("tfmeta.learners.maml", "from tfmeta.tasks.task import Task"),
        ("tfmeta.export", "from tfmeta import commands, runs"),
        ("tfmeta.serve.http", "from tfmeta.process.version import __version__"),
    ],
)
def test_an_import_from_below_is_allowed(module, source):
    assert wrong_imports(module, ast.parse(source), SOURCES) == []
