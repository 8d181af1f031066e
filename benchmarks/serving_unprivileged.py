"""`python -m tfmeta.serve` that gives up root before it reads a model.

    python -m benchmarks.serving_unprivileged --user_number=65534 [flags of tfmeta.serve]

What it runs is imported before, since that user may not read this Python.
"""

import os
import sys

from absl import app, flags

import tfmeta.serve
from tfmeta.serve import __main__ as command
from tfmeta.serve import command_flags

_USER = flags.DEFINE_integer("user_number", None, "User and group to become.", required=True)


def main(argv):
    """Becomes the user, and serves."""
    for name in tfmeta.serve.__all__:
        getattr(tfmeta.serve, name)
    os.setgroups([])
    os.setgid(_USER.value)
    os.setuid(_USER.value)
    return command.main(argv)


if __name__ == "__main__":
    command_flags.define_flags()
    sys.modules["__main__"].__doc__ = __doc__
    app.run(main)
