"""A `models.config` that is read again from time to time, as TF Serving does when told to."""

import pathlib
import threading

from tfmeta.serve import logs
from tfmeta.serve.errors import ServingError
from tfmeta.serve.models_config import read_models_config


class ConfigWatch:
    """Replaces a server's models when the file that names them has changed.

    A file that cannot be read or served changes nothing, is said in the log once, and is tried
    again at each look.

    Args:
        path: of the file.
        seconds: pause between looks.
        replace: function of a list of `ModelConfig`.
    """

    def __init__(self, path, seconds, replace):
        self._path, self._seconds, self._replace = pathlib.Path(path), seconds, replace
        self._served = self._text()
        self._told = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="models.config", daemon=True)

    def start(self):
        """Watches."""
        self._thread.start()

    def stop(self):
        """Watches no more; a look in progress may go on."""
        self._stopped.set()

    def _watch(self):
        while not self._stopped.wait(self._seconds):
            self._look()

    def _look(self):
        try:
            text = self._path.read_bytes()
            if text == self._served:
                return
            self._replace(read_models_config(text))
            self._served, self._told = text, None
        except (OSError, ValueError, ServingError) as error:
            if str(error) != self._told:
                logs.warning("reload_failed", file=str(self._path), reason=str(error))
            self._told = str(error)

    def _text(self):
        try:
            return self._path.read_bytes()
        except OSError:
            return None
