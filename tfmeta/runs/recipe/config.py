"""From a recipe to settings: which names a gin file may use, and what they stand for.

This is the one module that knows gin's registry: learners, networks, tasks and Keras objects are
registered here from outside, so that the rooms below never import gin. A new public name of
`tfmeta.learners`, `.networks`, `.rl` or `.tasks` is configurable without a change here: functions,
Keras models and layers, and dataclasses, which are a learner's parts (`TRPO`).
"""

import contextlib
import dataclasses
import functools
import importlib
import inspect
import sys
from collections.abc import Iterator
from typing import Any

import keras

import gin
from tfmeta import learners, networks, rl, tasks
from tfmeta.learners.keras_model.arguments import signature_of
from tfmeta.runs.recipe import (
    Binding,
    Macro,
    Recipe,
    RecipeError,
    Reference,
    explained,
    iterate_values,
    nearest,
)
from tfmeta.runs.recipe import settings as names

_MODULE = "tfmeta"
_SETTINGS = {
    "train": names.TrainSettings,
    "run": names.RunSettings,
    "evaluate": names.EvaluateSettings,
    "validate": names.ValidateSettings,
    "log": names.LogSettings,
    "export": names.ExportSettings,
}
_LOSSES = (
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Huber",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
)
_OPTIMIZERS = ("Adagrad", "Adam", "AdamW", "Lion", "Nadam", "RMSprop", "SGD")
_CALLBACKS = ("CSVLogger", "EarlyStopping", "LearningRateScheduler", "ReduceLROnPlateau")
_SCHEDULES = ("CosineDecay", "ExponentialDecay", "PiecewiseConstantDecay", "PolynomialDecay")


def _configurables() -> dict[str, Any]:
    """Every name that tfmeta gives to recipes, with the class or function behind it."""
    found = dict(_SETTINGS)
    for room in (learners, networks, rl, tasks):
        public = {name: getattr(room, name) for name in room.__all__}
        found |= {name: value for name, value in public.items() if _is_for_recipes(value)}
    found |= {name: getattr(keras.losses, name) for name in _LOSSES}
    found |= {name: getattr(keras.optimizers, name) for name in _OPTIMIZERS}
    found |= {name: getattr(keras.optimizers.schedules, name) for name in _SCHEDULES}
    found |= {name: getattr(keras.callbacks, name) for name in _CALLBACKS}
    return found


def _is_for_recipes(value) -> bool:
    if inspect.isclass(value):
        return issubclass(value, keras.layers.Layer) or dataclasses.is_dataclass(value)
    return inspect.isfunction(value)


@functools.cache
def register() -> tuple[str, ...]:
    """Tells gin the names that recipes may use, once; returns them."""
    found = _configurables()
    for name, target in found.items():
        # A function around the class: gin would otherwise subclass it, and Keras would save
        # the subclass's name.
        def build(*args, _target=target, **kwargs):
            return _target(*args, **kwargs)

        build.__name__ = build.__qualname__ = name
        build.__doc__ = target.__doc__
        build.__signature__ = signature_of(target)
        gin.external_configurable(build, name=name, module=_MODULE)
    return tuple(found)


def check(recipe: Recipe) -> None:
    """Compares every name in a recipe with what there is.

    Raises:
        RecipeError: for a name that nothing has, with the nearest names and where it stands.
    """
    register()
    _make_importable(recipe)
    for module in recipe.imports:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise RecipeError(
                f"A recipe's import must work. Received: {module!r} ({error}). Put the module "
                "beside the recipe, or into the directory where the command runs."
            ) from error
    macros = {binding.key for binding in recipe.bindings if not binding.argument}
    used = set()
    for binding in recipe.bindings:
        if binding.argument:
            _check_argument(binding)
        for value in iterate_values(binding.value):
            if isinstance(value, Reference):
                _configurable(value.name.rsplit("/", 1)[-1], binding)
            elif isinstance(value, Macro):
                used.add(value.name)
                if value.name not in macros and "." not in value.name:
                    raise RecipeError(
                        f"A macro must be set in the recipe. Received: %{value.name} in "
                        f"{binding.where}.{nearest(value.name, macros)}"
                    )
    for binding in recipe.bindings:
        if not binding.argument and binding.key not in used:
            others = used | {b.key for b in recipe.bindings if b.argument}
            raise RecipeError(
                f"A name without a dot is a macro, which something in the recipe must use as "
                f"%{binding.key}. Received: {binding.key} = {binding.value!r} in "
                f"{binding.where}.{nearest(binding.key, others)}"
            )


def _make_importable(recipe: Recipe) -> None:
    """Has Python find modules beside a recipe that imports some, as it does beside a script."""
    if recipe.imports:
        sys.path[:0] = [folder for folder in recipe.folders if folder not in sys.path]


def _configurable(selector: str, binding: Binding):
    try:
        return gin.get_configurable(selector)
    except ValueError as error:
        raise RecipeError(
            f"A binding must name something that tfmeta has. Received: {selector!r} in "
            f"{binding.where}.{nearest(selector, register())} "
            f"Names: {', '.join(sorted(register()))}."
        ) from error


def _check_argument(binding: Binding) -> None:
    parameters = inspect.signature(_configurable(binding.selector, binding)).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters]
    if binding.argument not in known:
        hint = nearest(binding.argument, known)
        raise RecipeError(
            f"A binding must set an argument that {binding.selector} has. Received: "
            f"{binding.key} in {binding.where}.{hint} Arguments: {', '.join(known)}."
        )


@contextlib.contextmanager
def configured(recipe: Recipe) -> Iterator[names.Settings]:
    """Puts a recipe in force and gives its settings; afterwards gin is as it was before.

    The settings' callables (learner, streams, optimizer) must be called inside the `with`.

    Raises:
        RecipeError: if the recipe is wrong.
    """
    check(recipe)
    before = gin.config_str()
    with gin.unlock_config():
        gin.clear_config()
        try:
            for source in recipe.sources:
                gin.parse_config(source.text)
            yield _settings(recipe)
        finally:
            gin.clear_config()
            gin.parse_config(before, skip_unknown=True)


def _settings(recipe: Recipe) -> names.Settings:
    with explained(f"recipe {recipe.name}"):
        parts = {name: gin.get_configurable(f"{_MODULE}.{name}")() for name in _SETTINGS}
        settings = names.Settings(**parts, recipe=recipe.name, config=gin.config_str())
        settings.check()
    return settings
