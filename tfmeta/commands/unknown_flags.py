"""What to say of a flag that a command lacks: mostly the binding of a recipe that does it."""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tfmeta.runs import recipe

# What other programs call a value of a recipe, and what other programs call a flag.
_BINDINGS = {
    "batch_size": "tasks_per_step",
    "epochs": "steps",
    "iterations": "steps",
    "learning_rate": "learning_rate",
    "lr": "learning_rate",
    "max_steps": "steps",
    "meta_batch_size": "tasks_per_step",
    "meta_lr": "learning_rate",
    "num_inner_steps": "inner_steps",
    "num_steps": "steps",
    "num_tasks": "tasks",
    "outer_rate": "learning_rate",
    "inner_lr": "inner_rate",
}
_FLAGS = {
    "checkpoint_dir": "workdir",
    "config": "gin_file",
    "config_file": "gin_file",
    "gin_bindings": "gin_param",
    "gin_files": "gin_file",
    "log_dir": "workdir",
    "logdir": "workdir",
    "model_dir": "workdir",
    "output": "export_dir",
    "port_rest": "rest_api_port",
    "recipe": "gin_file",
    "run": "workdir",
    "run_dir": "workdir",
}
_MOST = 3
# What a recipe names by "@".
_OBJECTS = ("evaluate.stream", "train.learner", "train.optimizer", "train.stream")


def say(name: str, arguments: Sequence[str], known: Sequence[str]) -> str:
    """The message for a flag that a command does not have.

    Args:
        name: of the flag, without dashes.
        arguments: of the command line, the program's name left out.
        known: names of the flags that the command has.
    """
    value = _value(name, arguments)
    bindings = list(_bindings(name, arguments)) if "gin_param" in known else []
    if bindings:
        params = [f"--gin_param={_quoted(f'{key} = {_literal(key, value)}')}" for key in bindings]
        return (
            f"What a recipe sets is no flag of its own. Received: --{name}. Write "
            f"{' or '.join(params)}."
        )
    flag = _FLAGS.get(name)
    dashed = [f"--{one}" for one in known]
    hint = f" Did you mean --{flag}?" if flag in known else recipe.nearest(f"--{name}", dashed)
    return f"A flag must be one that the command has. Received: --{name}.{hint} --help lists them."


def _bindings(name: str, arguments: Sequence[str]) -> Iterator[str]:
    """Keys of at most three bindings that a flag may stand for, the likeliest first."""
    asked = _recipe_of(arguments)
    words = list(dict.fromkeys([name, _BINDINGS.get(name, name)]))
    found = []
    if asked is not None:
        macros = [b.key for b in asked.bindings if not b.argument]
        found += [word for word in words if word in macros]
        found += [b.key for b in asked.bindings if b.argument in words]
    found += [key for key in _settings() if key.split(".")[1] in words]
    yield from list(dict.fromkeys(found))[:_MOST]


def _recipe_of(arguments: Sequence[str]) -> recipe.Recipe | None:
    """The recipe that a command line names, if there is one that can be read."""
    files = _values("gin_file", arguments)
    workdirs = _values("workdir", arguments)
    try:
        if files:
            return recipe.read_recipe(files)
        if workdirs:
            text = (Path(workdirs[-1]) / "config.gin").read_text(encoding="utf-8")
            return recipe.parse_recipe(text, workdirs[-1])
    except (OSError, ValueError):
        pass
    return None


def _values(flag: str, arguments: Sequence[str]) -> list[str]:
    pairs = (re.fullmatch(rf"--?{flag}=(.*)", argument, re.DOTALL) for argument in arguments)
    values = [pair[1] for pair in pairs if pair]
    for position, argument in enumerate(arguments[:-1]):
        if argument.lstrip("-") == flag and argument.startswith("-"):
            values.append(arguments[position + 1])
    return values


def _value(name: str, arguments: Sequence[str]) -> str | None:
    """What a flag is set to; None where it stands alone, as a switch."""
    values = _values(name, arguments)
    return values[0] if values and not values[0].startswith("--") else None


def _settings() -> list[str]:
    """Names such as "train.steps", read from the source: importing it takes seconds."""
    source = Path(recipe.__file__).with_name("settings.py").read_text(encoding="utf-8")
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Settings"):
            owner = node.name.removesuffix("Settings").lower()
            targets = (part.target for part in node.body if isinstance(part, ast.AnnAssign))
            fields = (target.id for target in targets if isinstance(target, ast.Name))
            found += [f"{owner}.{field}" for field in fields if owner]
    return found


def _literal(key: str, value: str | None) -> str:
    """A value as gin reads it."""
    if value is None:
        return "True"
    if key in _OBJECTS:
        return f"@{value.lstrip('@')}"
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value if value.startswith(("@", "%")) else repr(value)
    return value


def _quoted(binding: str) -> str:
    return f"'{binding}'" if "'" not in binding else f'"{binding}"'
