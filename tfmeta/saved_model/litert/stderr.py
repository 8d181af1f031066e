"""What C++ libraries write to stderr, kept from the user's terminal."""

import contextlib
import os
import sys
import tempfile


@contextlib.contextmanager
def captured():
    """Keeps what is written to stderr inside, by this whole process.

    Yields:
        A function that gives the text so far.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as file:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(file.fileno(), 2)

        def text():
            file.seek(0)
            return file.read()

        try:
            yield text
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
