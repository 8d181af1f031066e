"""What `import tfmeta` gives, and what it leaves alone."""

import importlib.resources
import inspect
import json
import subprocess
import sys

import pytest

import tfmeta

ROOMS = (
    "inner",
    "learners",
    "networks",
    "parallel",
    "rl",
    "saved_model",
    "tasks",
    "testing",
)
PUBLIC = [
    *((tfmeta, name) for name in tfmeta.__all__),
    *(
        (getattr(tfmeta, room), name)
        for room in ROOMS
        if hasattr(tfmeta, room)
        for name in getattr(tfmeta, room).__all__
    ),
]


def modules_after(statement):
    """Names of the modules that a fresh interpreter has loaded after a statement."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout)


def test_importing_tfmeta_imports_neither_tensorflow_nor_keras():
    loaded = modules_after("import tfmeta; tfmeta.__version__; dir(tfmeta)")
    assert not {"tensorflow", "keras", "gin", "numpy"} & set(loaded)


def test_a_name_that_needs_keras_loads_it_and_tasks_leave_their_data_sets_alone():
    loaded = modules_after("import tfmeta; tfmeta.networks, tfmeta.tasks")
    assert "keras" in loaded
    assert "tensorflow_datasets" not in loaded


@pytest.mark.parametrize(
    ("room", "name"), PUBLIC, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_public_name_loads_and_says_what_it_is(room, name):
    value = getattr(room, name)
    if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
        # A class of its own: `__doc__` is not inherited, and a NamedTuple's is made up.
        text = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
        assert text, f"{name} has no docstring"
        assert not text.startswith(f"{name}("), "a docstring that Python made up"


def test_public_names_are_listed_in_alphabetical_order():
    for room in (tfmeta, *(getattr(tfmeta, name) for name in ROOMS if hasattr(tfmeta, name))):
        names = list(room.__all__)
        assert names == sorted(names) or names == sorted(names, key=_ruff_order), room.__name__


def _ruff_order(name):
    """Constants, then classes, then the rest."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name)


def test_an_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match="'tfmeta' has no attribute 'MALM'"):
        tfmeta.MALM  # noqa: B018


def test_the_earlier_place_of_the_saved_model_writer_gives_its_names_with_a_warning():
    from tfmeta import export, saved_model

    with pytest.warns(DeprecationWarning, match="is tfmeta.saved_model.ExportedModel now"):
        assert export.ExportedModel is saved_model.ExportedModel
    with pytest.raises(AttributeError, match="has no attribute 'Exported'"):
        export.Exported  # noqa: B018


def test_type_checkers_are_told_that_tfmeta_has_types():
    assert importlib.resources.files("tfmeta").joinpath("py.typed").is_file()


def test_the_recipes_are_shipped():
    from tfmeta.runs import recipe

    assert "sinusoid_maml.gin" in recipe.recipe_names()
