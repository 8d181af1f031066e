"""Arguments of learners: their names, what to say of an unknown one, and that they stay as made."""

import difflib
import inspect
from collections.abc import Iterable
from typing import Any

import keras

# What other libraries call an argument.
_SYNONYMS = {
    "alpha": "inner_rate",
    "fast_lr": "inner_rate",
    "lr": "inner_rate",
    "learning_rate": "inner_rate",
    "adaptation_steps": "inner_steps",
    "num_inner_steps": "inner_steps",
    "num_steps": "inner_steps",
    "steps": "inner_steps",
    "second_order": "first_order",
    "model": "network",
    "batch_norm": "normalization",
}


def signature_of(target) -> inspect.Signature:
    """The named parameters of a function, or of a class and the bases its `**options` go to.

    An argument that a class sets for its base (named in the class's `chooses`) is left out:
    neither a recipe nor a saved configuration can set it.

    Args:
        target: a function or a class. What `keras.Model` takes is left out.
    """
    if not inspect.isclass(target):
        return inspect.signature(target)
    parameters: dict[str, inspect.Parameter] = {}
    chosen: set[str] = set()
    for cls in target.__mro__:
        if cls is keras.Model or "__init__" not in vars(cls):
            continue
        own = list(inspect.signature(vars(cls)["__init__"]).parameters.values())[1:]
        for parameter in own:
            variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            if not variadic and parameter.name not in chosen:
                parameters.setdefault(parameter.name, parameter)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own):
            break
        chosen |= set(vars(cls).get("chooses", ()))
    keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters.values()]
    return inspect.Signature(keywords)


def check_arguments(cls: Any, names: Iterable[str]) -> None:
    """Raises a TypeError for names that no constructor of a class takes.

    Args:
        cls: a learner's class.
        names: of the keyword arguments that it got.

    Raises:
        TypeError: with the nearest names, and all there are.
    """
    known = list(signature_of(cls).parameters)
    # What a class sets itself it refuses in words of its own.
    chosen = {name for base in cls.__mro__ for name in vars(base).get("chooses", ())}
    unknown = [name for name in names if name not in known and name not in chosen]
    set_by_class = [name for name in names if name in chosen and name not in known]
    if set_by_class and not cls.refuses_chosen:
        raise TypeError(
            f"{cls.__name__} sets {', '.join(set_by_class)} itself. Received: "
            f"{', '.join(f'{name}=' for name in set_by_class)}. Leave it out, or compose a learner "
            "by tfmeta.MetaLearner."
        )
    if not unknown:
        return
    close = [
        name
        for asked in unknown
        for name in dict.fromkeys(
            [_SYNONYMS.get(asked), *difflib.get_close_matches(asked, known, n=2, cutoff=0.6)]
        )
        if name in known
    ]
    hint = f" Did you mean {' or '.join(f'{name}=' for name in close[:3])}?" if close else ""
    raise TypeError(
        f"{cls.__name__} must get arguments that it has. Received: "
        f"{', '.join(f'{name}=' for name in unknown)}.{hint} Arguments: {', '.join(known)}."
    )


# What `MetaLearner.__init__` has read when it ends.
_READ = {
    "network",
    "adaptation",
    "gradient_rule",
    "inner_steps",
    "test_inner_steps",
    "adapted",
    "normalization",
    "inner_loss",
    "dropout",
    "seed",
    "rematerialize",
    "meta_gradient_clip",
    "diverged_tasks",
}
# How tasks are computed changes no number: a run sets it for a trace.
_FREE = {"parallel", "tasks_per_pass", "name"}
_PLAIN = (bool, int, float, str, type(None))


def read_arguments(cls: type) -> frozenset[str]:
    """Arguments that are settled at the end of `MetaLearner.__init__`.

    Args:
        cls: of the learner. Where its constructor declares `adapted`, it sets it once more.
    """
    declared = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    return frozenset(_READ - ({"adapted"} & set(declared)))


def library_arguments(cls: type) -> frozenset[str]:
    """Arguments of a learner's class, or of this library's class that it is derived from."""
    own = next(base for base in cls.__mro__ if base.__module__.startswith("tfmeta."))
    return frozenset(signature_of(own).parameters) - _FREE


def check_settled(learner: keras.Model, name: str, value: Any) -> None:
    """Refuses another value of a settled argument; one that is set after `_READ` is settled too.

    Args:
        learner: a `MetaLearner`, maybe within its constructor.
        name: of the attribute that is set.
        value: what it is set to.

    Raises:
        AttributeError: the rule, what was received, and what to do.
    """
    own = vars(learner)
    settled = own.get("settled_arguments")
    if settled is None or name == "settled_arguments":
        return
    if name not in settled or name not in own:
        if name in library_arguments(type(learner)):
            own["settled_arguments"] = settled | {name}
        return
    if own[name] is value or (isinstance(value, _PLAIN) and own[name] == value):
        return
    cls = type(learner).__name__
    made = f"{cls}(network)" if name == "network" else f"{cls}(network, {name}=...)"
    steps = " adapt, task_weights and adaptation_curve take inner_steps= too."
    raise AttributeError(
        f"A learner keeps the arguments that it was made with. Received: learner.{name} = "
        f"{value!r}. Make a new one, {made}, which shares the weights of its network."
        f"{steps if name in ('inner_steps', 'test_inner_steps') else ''}"
    )
