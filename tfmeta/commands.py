"""What the commands share: flags for a recipe, and errors that a user can read."""

import os
import sys
from collections.abc import Callable

from absl import app, flags, logging

from tfmeta.interrupts import Interrupts
from tfmeta.quiet_start import import_tensorflow
from tfmeta.recipe import RecipeError

__all__ = ["define_recipe_params", "import_tensorflow", "run"]

FLAGS = flags.FLAGS


def define_recipe_params() -> None:
    """The flag --gin_param."""
    flags.DEFINE_multi_string(
        "gin_param",
        [],
        "A binding that overrides the recipe, e.g. 'train.steps = 100'; repeatable.",
    )


def run(main: Callable[[], int], doc: str) -> None:
    """Parses the flags, runs a command and exits; a user's mistake is a message, no traceback.

    Args:
        main: of no arguments, called after the flags are parsed; gives the exit code.
        doc: what --help shows above the flags.
    """
    # absl takes the text of --help from the main module.
    sys.modules["__main__"].__doc__ = doc
    app.run(lambda argv: _in_words(main, argv))


def _in_words(main: Callable[[], int], argv: list[str]) -> int:
    try:
        if len(argv) > 1:
            raise RecipeError(
                f"Arguments must be flags. Received: {' '.join(argv[1:])!r}. Write --gin_file=..., "
                "--workdir=..., and put --gin_param='name = value' in quotes."
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
