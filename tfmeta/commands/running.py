"""Running a command: its flags, its answer to signals, and errors that a user can read."""

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator

from absl import app, flags, logging

from tfmeta.commands import unknown_flags
from tfmeta.process.interrupts import Interrupts
from tfmeta.process.quiet_start import import_tensorflow
from tfmeta.runs.recipe import RecipeError

__all__ = ["as_recipe_errors", "define_recipe_params", "import_tensorflow", "parse_flags", "run"]

FLAGS = flags.FLAGS


def define_recipe_params() -> None:
    """The flag --gin_param."""
    flags.DEFINE_multi_string(
        "gin_param",
        [],
        "A binding that overrides the recipe, e.g. 'train.steps = 100'; repeatable.",
    )


@contextlib.contextmanager
def as_recipe_errors() -> Iterator[None]:
    """Turns a wrong value, or a file that can't be read, into a message without a traceback.

    Raises:
        RecipeError: with the words of the ValueError or OSError.
    """
    try:
        yield
    except RecipeError:
        raise
    except (ValueError, OSError) as error:
        raise RecipeError(str(error)) from error


def run(main: Callable[[], int], doc: str) -> None:
    """Parses the flags, runs a command and exits; a user's mistake is a message, no traceback.

    Args:
        main: of no arguments, called after the flags are parsed; gives the exit code.
        doc: what --help shows above the flags.
    """
    # A line of tfmeta's own code says nothing to who runs a command.
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    # absl takes the text of --help from the main module.
    sys.modules["__main__"].__doc__ = doc
    app.run(lambda argv: _in_words(main, argv), flags_parser=parse_flags)


def parse_flags(arguments: list[str]) -> list[str]:
    """Parses flags as absl does; a wrong flag ends the program with a message.

    Returns:
        The program's name, and the arguments that are not flags.

    Raises:
        SystemExit: for a wrong flag, with the exit code of wrong arguments.
    """
    try:
        return FLAGS(arguments)
    except flags.UnrecognizedFlagError as error:
        message = unknown_flags.say(error.flagname, arguments[1:], list(FLAGS))
    except flags.Error as error:
        message = f"{error}. --help says what each flag takes."
    print(f"error: {message}", file=sys.stderr)
    sys.exit(RecipeError.exit_code)


def _as_flags(arguments: list[str]) -> str:
    """A suggestion of flags for arguments that were given without dashes."""
    if "gin_file" in FLAGS and all(argument.endswith(".gin") for argument in arguments):
        return " ".join(f"--gin_file={argument}" for argument in arguments)
    return "--gin_file=..., --workdir=..., and put --gin_param='name = value' in quotes"


def _in_words(main: Callable[[], int], argv: list[str]) -> int:
    try:
        if len(argv) > 1:
            raise RecipeError(
                f"Arguments must be flags. Received: {' '.join(argv[1:])!r}. Write "
                f"{_as_flags(argv[1:])}."
            )
        if not FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)  # absl's commands print all of TensorFlow's.
        with Interrupts():
            return main()
    except KeyboardInterrupt:
        print("Stopped by SIGINT.", file=sys.stderr)
        return 130
    except (RecipeError, FileNotFoundError, FileExistsError, PermissionError) as error:
        if os.environ.get("TFMETA_TRACEBACK") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", RecipeError.exit_code)
