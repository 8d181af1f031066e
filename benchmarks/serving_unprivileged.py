"""`python -m tfmeta.serve` that gives up root before it reads a model.

    python -m benchmarks.serving_unprivileged --user_number=65534 [flags of tfmeta.serve]

A server that runs for a moment before imports what is imported late: that user may not read this
Python.
"""

import os
import sys
import tempfile

from absl import app, flags

import tfmeta.serve
from tfmeta.serve import __main__ as command
from tfmeta.serve import command_flags

_USER = flags.DEFINE_integer("user_number", None, "User and group to become.", required=True)


def main(argv):
    """Becomes the user, and serves."""
    with tempfile.TemporaryDirectory() as empty, tfmeta.serve.start(empty):
        pass
    os.setgroups([])
    os.setgid(_USER.value)
    os.setuid(_USER.value)
    return command.main(argv)


if __name__ == "__main__":
    command_flags.define_flags()
    sys.modules["__main__"].__doc__ = __doc__
    app.run(main)
