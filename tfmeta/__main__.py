"""The command `tfmeta`: `tfmeta train ...` is `python -m tfmeta.train ...`."""

import os
import runpy
import sys

from tfmeta.process.version import __version__
from tfmeta.runs.recipe import nearest

COMMANDS = {
    "train": "trains a recipe, or goes on with a run; evaluates and exports it",
    "evaluate": "measures a run",
    "export": "writes a run as a SavedModel for TensorFlow Serving, or as a file for phones",
    "adapt": "adapts an exported model to your own images and predicts others",
    "serve": "serves exported models, for development",
    "table": "puts runs beside the figures that papers printed",
    "presets": "lists, shows, makes and exports learned initialisations",
}
_WIDTH = max(map(len, COMMANDS)) + 2


def usage() -> str:
    """The text that `tfmeta --help` prints."""
    lines = [f"  {name:<{_WIDTH}}{what}" for name, what in COMMANDS.items()]
    return (
        "Usage: tfmeta COMMAND --flag=value ...\n\n"
        + "\n".join(lines)
        + "\n\n`tfmeta COMMAND --help` lists the flags of a command."
    )


def main() -> int | None:
    """Runs the command that the first argument names; the console script `tfmeta`."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "--helpfull", "--helpshort", "help"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"tfmeta {__version__}")
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        hint = nearest(name.removeprefix("--"), COMMANDS)
        print(
            f"error: A command must be one of {', '.join(COMMANDS)}. Received: {name!r}.{hint} "
            "Write tfmeta train --gin_file=...",
            file=sys.stderr,
        )
        return 2
    # As `python -m` does, and a console script does not: own modules are found here.
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    sys.argv = [f"tfmeta {name}", *arguments[1:]]
    runpy.run_module(f"tfmeta.{name}", run_name="__main__", alter_sys=True)
    return None


if __name__ == "__main__":
    sys.exit(main())
