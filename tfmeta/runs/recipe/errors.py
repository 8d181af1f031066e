"""Errors in a recipe or a run, in the words that the user reads."""

import contextlib
import re
from collections.abc import Iterator


class RecipeError(ValueError):
    """A recipe or flag that is wrong: the message is what the user should read."""

    exit_code = 2  # of shells and argparse for wrong arguments


class RunError(RecipeError):
    """A run that could not go on, through no fault of its recipe's words."""

    exit_code = 1


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turns an error in what a recipe builds into a `RecipeError` in the user's words."""
    try:
        yield
    except RecipeError:
        raise
    except (ValueError, TypeError, OSError, LookupError, RuntimeError, ImportError) as error:
        text, *calls = str(error).split("\n  In call to configurable ")
        inside = f" (in {', '.join(call.split()[0] for call in calls)})" if calls else ""
        text = _missing_values(text) or text.strip() or type(error).__name__
        raise RecipeError(f"{what}: {text}{inside}") from error


def _missing_values(text: str) -> str | None:
    """Which bindings to write, where gin reports arguments that nothing gave; None otherwise."""
    missing = re.match(r"(\w+)\(\) missing .*?arguments?: (.+)", text)
    if not missing:
        return None
    name = missing[1]
    arguments = re.findall(r"'(\w+)'", missing[2])
    bindings = " ".join(f'--gin_param="{name}.{argument} = ..."' for argument in arguments)
    return (
        f"{name} needs {' and '.join(arguments)}. Received: no value. Write the binding into the "
        f"recipe, or pass {bindings} with the value."
    )
