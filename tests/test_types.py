"""Every public function, constructor and method has types, so that an editor completes it."""

import importlib
import inspect
import typing

import pytest

ROOMS = (
    "derivatives",
    "evaluation",
    "inner",
    "learners",
    "networks",
    "parallel",
    "parts",
    "rl",
    "saved_model",
    "tasks",
    "testing",
)


def public_functions(room):
    """{qualified name: function} of what a module's public names can be called with."""
    module, found = importlib.import_module(f"tfmeta.{room}"), {}
    names = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
    for value in (getattr(module, name) for name in names):
        if not getattr(value, "__module__", "").startswith("tfmeta."):
            continue
        classes = value.__mro__ if inspect.isclass(value) else ()
        members = [m for cls in classes if _is_own(cls) for m in vars(cls).values()] or [value]
        for member in members:
            function = getattr(member, "__func__", getattr(member, "fget", member))
            if inspect.isfunction(function) and _is_own(function) and _is_public(function):
                found[f"{function.__module__}.{function.__qualname__}"] = function
    return found


def _is_own(value):
    return value.__module__.partition(".")[0] == "tfmeta"


def _is_public(function):
    return function.__name__ == "__init__" or not function.__name__.startswith("_")


def untyped(function):
    """Names of the parameters without a type; "return" where the result has none."""
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    names = [p.name for p in parameters if p.annotation is p.empty]
    if function.__name__ != "__init__" and signature.return_annotation is signature.empty:
        names.append("return")
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_no_parameter_of_a_public_name_is_without_a_type(room):
    functions = public_functions(room)
    assert functions
    assert {name: untyped(f) for name, f in functions.items() if untyped(f)} == {}


def test_an_untyped_parameter_is_found():
    def function(known: int, unknown, *, also=None) -> None: ...

    assert untyped(function) == ["unknown", "also"]
    assert untyped(lambda: None) == ["return"]


def test_options_of_a_learners_methods_are_named_one_by_one():
    """`**options: Any` would complete nothing."""
    for name, function in public_functions("learners").items():
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                assert typing.get_origin(parameter.annotation) is typing.Unpack, name
