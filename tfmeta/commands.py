"""What the commands share: flags for a recipe, and errors that a user can read."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from absl import app, flags, logging

from tfmeta.recipe import RecipeError

FLAGS = flags.FLAGS


def define_recipe_params() -> None:
    """The flag --gin_param."""
    flags.DEFINE_multi_string(
        "gin_param",
        [],
        "A binding that overrides the recipe, e.g. 'train.steps = 100'; repeatable.",
    )


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Keeps what TensorFlow's libraries print while they load off the terminal.

    On a machine with an NVIDIA device it stays: there it may say why the device is not used.
    """
    if Path("/dev/nvidiactl").exists():
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def import_tensorflow() -> None:
    """Loads TensorFlow and finds its devices, quietly."""
    with quiet_start():
        import tensorflow as tf

        tf.config.list_physical_devices()


def run(main: Callable[[], int], doc: str) -> None:
    """Runs a command: flags in, exit code out; what the user can put right is said in words.

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
        return main()
    except (RecipeError, FileNotFoundError, FileExistsError, PermissionError) as error:
        if os.environ.get("TFMETA_TRACEBACK") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", RecipeError.exit_code)
