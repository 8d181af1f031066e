"""What recipes bind, and how two of them differ."""

import re
from collections.abc import Iterator
from typing import Any

from tfmeta.runs.recipe.reading import Macro, Recipe

# Bindings that may change from one session of a run to the next: they leave the weights alone.
FREE_TO_CHANGE = ("evaluate", "export", "log", "validate")


def differences(old: Recipe, new: Recipe) -> list[str]:
    """Says in lines what a new recipe changes, apart from what may change (`FREE_TO_CHANGE`)."""
    before, after = _compared(old), _compared(new)
    return [
        f"{key}: {before.get(key, 'not set')} -> {after.get(key, 'not set')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def bound_values(recipe: Recipe) -> dict[str, Any]:
    """What each argument is bound to, by key ("train.steps"), with macros replaced by values."""
    macros = {b.key: b.value for b in recipe.bindings if not b.argument}
    return {b.key: _without_macros(b.value, macros) for b in recipe.bindings if b.argument}


def _compared(recipe: Recipe) -> dict[str, str]:
    """The bindings that make the weights, as texts, with macros replaced by their values."""
    values, compared = bound_values(recipe), {}
    for binding in recipe.bindings:
        owner = binding.scope.split("/")[0] or re.split(r"\W", binding.selector)[-1]
        if binding.argument and owner not in FREE_TO_CHANGE:
            compared[binding.key] = repr(values[binding.key])
    return compared


def _without_macros(value, macros):
    if isinstance(value, Macro) and value.name in macros:
        return _without_macros(macros[value.name], macros)
    if isinstance(value, (list, tuple)):
        return type(value)(_without_macros(item, macros) for item in value)
    if isinstance(value, dict):
        return {key: _without_macros(item, macros) for key, item in value.items()}
    return value


def iterate_values(value) -> Iterator[Any]:
    """Yields the leaves of a binding's value: literals, references, macros."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from iterate_values(item)
    elif isinstance(value, dict):
        yield from iterate_values([*value.keys(), *value.values()])
    else:
        yield value
