"""From a preset to a learner and back: its configuration is checked before any of it is built."""

import copy
import functools
import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from tfmeta.learners.keras_model.arguments import signature_of
from tfmeta.learners.keras_model.saving import FROZEN, freeze_again
from tfmeta.presets import Preset

# Keras classes that run code or read files which a configuration names.
_REFUSED = ("FlaxLayer", "JaxLayer", "Lambda", "TFSMLayer", "TorchModuleWrapper")
_DATA = ("__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__")
_COMPILED = {"optimizer", "loss", "metrics"}
_FUNCTIONS = (keras.activations, keras.losses, keras.metrics)
_WITH_FILES = "vocabulary"  # of lookup layers: a list, or the path of a file


def learner_of(cls: type, preset: Preset, options: Mapping[str, Any]):
    """Builds and compiles a preset's learner, with its weights.

    Args:
        cls: the class that was asked; the preset's learner must be of it.
        preset: what to build.
        options: arguments of the constructor that replace the preset's.

    Raises:
        TypeError: for an option that the constructor does not have.
        ValueError: if the preset is of another class, names what may not be built, or has arrays
            that do not fit.
    """
    config = copy.deepcopy(preset.info["learner"])
    check_config(config, preset.name)
    found = keras.saving.get_registered_object(config["registered_name"])
    if not (inspect.isclass(found) and issubclass(found, cls)):
        raise ValueError(
            f"{cls.__name__}.from_preset gives a {cls.__name__}. Received: {preset.name!r}, which "
            f"is a {config['class_name']}. Write tfmeta.{config['class_name']}.from_preset, or "
            "tfmeta.MetaLearner.from_preset for whatever the preset is; its .network begins at "
            "the same weights in another learner."
        )
    frozen = config["config"].pop(FROZEN, None)
    unknown = [n for n in config["config"] if n not in signature_of(found).parameters]
    if unknown:
        raise _refused(preset.name, f"{', '.join(unknown)}, no arguments of {found.__name__}")
    arguments = {n: _built(value) for n, value in config["config"].items() if n not in options}
    if frozen is not None and "network" in arguments:
        freeze_again(arguments["network"], frozen)
    learner: Any = found(**arguments, **options)
    learner.compile(**_built(config["compile_config"]))
    _assign(learner, preset)
    return learner


def preset_config(learner) -> dict:
    """The configuration of a compiled learner, as `learner_of` reads it.

    Raises:
        ValueError: if the learner has classes that a preset may not name.
    """
    config = keras.saving.serialize_keras_object(learner)
    config["compile_config"] = _without_defaults(
        {name: config["compile_config"][name] for name in ("optimizer", "loss", "metrics")}
    )
    config["config"] = _without_defaults(config["config"])
    # Keras numbers them by what else the process made.
    for named in (config, config["compile_config"]["optimizer"]):
        named["config"].pop("name", None)
    check_config(config, type(learner).__name__)
    return config


def preset_arrays(learner) -> dict[str, np.ndarray]:
    """What a learner has learned, by "parameters/<path>" and "state/<path>".

    Raises:
        ValueError: if two variables have the same path.
    """
    arrays = {}
    for group, path, variable in _variables(learner):
        key = f"{group}/{path}"
        if key in arrays:
            raise ValueError(
                f"A preset names each variable by its path. Received: {path} twice, in "
                f"{learner.name}. Give the layers of the network different names."
            )
        arrays[key] = np.asarray(variable)
    return arrays


def _variables(learner) -> Iterator[tuple[str, str, Any]]:
    pairs = {
        "parameters": (learner.parameter_paths, learner.parameter_variables),
        "state": (learner.state_groups.paths, learner.state_variables),
    }
    for group, (paths, variables) in pairs.items():
        for path, variable in zip(paths, variables, strict=True):
            yield group, path, variable


def _assign(learner, preset: Preset) -> None:
    wanted = {f"{group}/{path}": variable for group, path, variable in _variables(learner)}
    lacking = [key for key in wanted if key not in preset.arrays]
    further = [key for key in preset.arrays if key not in wanted]
    if lacking or further:
        raise ValueError(
            "A preset must hold every variable of its learner, and nothing else. Received: "
            f"{preset.name!r} without {', '.join(lacking) or 'none'} and with "
            f"{', '.join(further) or 'none'} besides."
        )
    for key, variable in wanted.items():
        array = preset.arrays[key]
        dtype = keras.backend.standardize_dtype(variable.dtype)
        if array.shape != tuple(variable.shape) or array.dtype.name != dtype:
            raise ValueError(
                f"A preset's arrays must fit the learner's variables. Received: {key} of "
                f"{preset.name!r}, {array.dtype} {array.shape} for {dtype} "
                f"{tuple(variable.shape)}."
            )
    for key, variable in wanted.items():
        variable.assign(preset.arrays[key])


def check_config(config: Any, name: str) -> None:
    """Refuses a configuration that names anything but Keras' classes and registered ones.

    Args:
        config: as `keras.saving.serialize_keras_object` gives it.
        name: of the preset, for the error.

    Raises:
        ValueError: naming what is refused.
    """
    keys = ("class_name", "config", "registered_name", "compile_config")
    if not isinstance(config, dict) or any(key not in config for key in keys):
        raise _refused(name, "a learner without its class, configuration or loss")
    registered = config["registered_name"]
    if not isinstance(registered, str) or keras.saving.get_registered_object(registered) is None:
        raise _refused(name, f"the learner {registered!r}, which is not registered with Keras")
    if not isinstance(config["config"], dict) or not _is_frozen_parts(config["config"]):
        raise _refused(name, "arguments of its learner, or frozen layers, that are none")
    compiled = config["compile_config"]
    if not isinstance(compiled, dict) or not {"loss", "optimizer"} <= compiled.keys() <= _COMPILED:
        raise _refused(name, "a compile_config of other names than optimizer, loss and metrics")
    _check(config, name)


def _is_frozen_parts(config: dict) -> bool:
    """Whether a configuration's frozen layers are as `frozen_parts` gives them, or not there."""
    parts = config.get(FROZEN)
    if parts is None:
        return FROZEN not in config
    return (
        isinstance(parts, dict)
        and parts.keys() == {"layers", "variables"}
        and all(isinstance(flags, list) for flags in parts.values())
        and all(isinstance(flag, bool) for flags in parts.values() for flag in flags)
    )


def _check(value: Any, name: str, depth: int = 0) -> None:
    if depth > 200:
        raise _refused(name, "a configuration that is nested too deeply")
    if isinstance(value, list):
        for item in value:
            _check(item, name, depth + 1)
    elif isinstance(value, dict):
        if "class_name" in value:
            _check_class(value, name)
        if isinstance(value.get(_WITH_FILES), str):
            raise _refused(name, f"the file {value[_WITH_FILES]!r} as a vocabulary")
        for item in value.values():
            _check(item, name, depth + 1)


def _check_class(value: dict, name: str) -> None:
    class_name, module = value["class_name"], value.get("module")
    registered = value.get("registered_name")
    if not isinstance(class_name, str) or class_name in _REFUSED:
        raise _refused(name, f"the class {class_name!r}")
    if class_name in _DATA:
        return
    if class_name == "function":
        if not _is_function(module, value.get("config")):
            raise _refused(name, f"the function {module}.{value.get('config')}")
        return
    # The name may be one that this process registered, such as a learner's; nothing is imported.
    found = keras.saving.get_registered_object(registered) if _is_text(registered) else None
    if found is None:
        found = _keras_symbol(module, class_name)
        if getattr(found, "__name__", None) in _REFUSED:  # by another name
            raise _refused(name, f"the class {module}.{class_name}")
    if not inspect.isclass(found) or not hasattr(found, "from_config"):
        raise _refused(name, f"{module}.{class_name}, no class that is registered with Keras")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_function(module: Any, function: Any) -> bool:
    """Whether a configuration names an activation, a loss or a metric of Keras."""
    if not _is_text(function) or function in ("deserialize", "get", "serialize"):
        return False
    known = [getattr(each, function, None) for each in _FUNCTIONS]
    known = [each for each in known if inspect.isfunction(each)]
    return bool(known) and (module == "builtins" or _keras_symbol(module, function) in known)


def _keras_symbol(module: Any, name: str) -> Any:
    """What a module of Keras has by a name, without an import; None where there is none."""
    if not isinstance(module, str) or module.split(".")[0] != "keras":
        return None
    return getattr(sys.modules.get(module), name, None)


def _refused(name: str, what: str) -> ValueError:
    return ValueError(
        "A preset may name layers, losses and optimizers of Keras and classes that are registered "
        f"with Keras, which run no code of the preset's. Received: {name!r} with {what}. Import "
        "the module that registers a class of yours first; take keras.saving for anything else."
    )


def _built(value: Any) -> Any:
    return keras.saving.deserialize_keras_object(value, safe_mode=True)


def _without_defaults(value: Any) -> Any:
    """Without arguments of Keras' classes at their defaults, which an older Keras may not have."""
    if isinstance(value, list):
        return [_without_defaults(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _without_defaults(item) for key, item in value.items()}
    if isinstance(found.get("config"), dict) and isinstance(found.get("class_name"), str):
        defaults = _defaults(found.get("module"), found["class_name"])
        found["config"] = {
            key: item
            for key, item in found["config"].items()
            if key not in defaults or not _same(item, defaults[key])
        }
    return found


def _same(first: Any, second: Any) -> bool:
    return type(first) is type(second) and first == second


@functools.cache
def _defaults(module: str | None, class_name: str) -> Mapping[str, Any]:
    """The arguments of a public Keras class that have a default, with it."""
    target: Any = keras
    for part in (module or "").split(".")[1:]:
        target = getattr(target, part, None)
    target = getattr(target, class_name, None)
    if (module or "").split(".")[0] != "keras" or not inspect.isclass(target):
        return {}
    if issubclass(target, keras.Layer) and _reads_config(target):
        return {}  # it may look for each of its arguments, as Rescaling does
    parameters = inspect.signature(target.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _reads_config(layer: type[keras.Layer]) -> bool:
    """Whether a layer's class has a `from_config` of its own."""
    return layer.from_config.__func__ is not keras.Layer.from_config.__func__
