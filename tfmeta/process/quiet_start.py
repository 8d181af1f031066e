"""Loading TensorFlow without what its libraries print meanwhile."""

import contextlib
import importlib
import importlib.abc
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tfmeta.process.xla_cache import use_xla_cache

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# TensorFlow's log lines, of which errors that don't speak of CUDA are kept, and what goes on over
# a second line.
_NOISE = re.compile(
    rb"[IW]\d{4} .*"
    rb"|E\d{4} .*(cuda|cuInit|cuDNN|cuBLAS|cuFFT).*"
    rb"|WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR"
    rb"|To enable the following instructions: .*",
    re.IGNORECASE,
)


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Keeps what TensorFlow logs of itself while it loads off the terminal; all else is printed.

    Nothing is kept off on a machine with an NVIDIA device, whose lines may say why the device is
    not used, or where TF_CPP_MIN_LOG_LEVEL=0 asks for all lines.
    """
    if Path("/dev/nvidiactl").exists() or os.environ.get(LEVEL) == "0":
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            kept.seek(0)
            for line in kept:
                if not _NOISE.match(line):
                    os.write(2, line)


def import_tensorflow() -> None:
    """Loads TensorFlow and finds its devices, quietly; see `use_xla_cache` for what it raises."""
    use_xla_cache()
    with quiet_start():
        import tensorflow as tf

        tf.config.list_physical_devices()


def watch_imports() -> None:
    """Makes this process load TensorFlow quietly, and register learners once it loads Keras.

    Where both are loaded already, learners are registered at once: `keras.saving.load_model` finds
    registered classes only.
    """
    if "tensorflow" in sys.modules:
        _find_devices()
    if "keras" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _Watcher())


def _find_devices() -> None:
    with quiet_start(), contextlib.suppress(AttributeError):  # TensorFlow is loading
        sys.modules["tensorflow"].config.list_physical_devices()


# Classes that a saved model may be of, beside the learners, and where they are.
_SAVED = {"AdaptedModel": "tfmeta.learners.answers.adapted_model", "Context": "tfmeta.networks"}


def _register() -> None:
    """Registers with Keras what a saved model may be of, without importing any of it."""
    import tfmeta

    learners = {
        name: module
        for name, module in tfmeta.MODULES.items()
        if module == "tfmeta.learners" and name[0].isupper()
    }
    with contextlib.suppress(AttributeError):  # Keras is loading
        registered = sys.modules["keras"].saving.get_custom_objects()
        for name, module in (learners | _SAVED).items():
            registered.setdefault(f"tfmeta>{name}", _LateClass(module, name))


class _LateClass:
    """Stands for a registered class until a saved model of it is loaded.

    Args:
        module: of the class.
        name: of the class.
    """

    def __init__(self, module: str, name: str):
        self._module, self._name = module, name

    def from_config(self, config):
        """The object of a configuration; importing the classes registers all of them."""
        for module in ("tfmeta.learners", "tfmeta.networks"):
            importlib.import_module(module)
        return getattr(importlib.import_module(self._module), self._name).from_config(config)


class _Watcher(importlib.abc.MetaPathFinder):
    """Finds TensorFlow and Keras as Python does, and loads them by `_Loader`."""

    def __init__(self):
        self._finding = False

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in ("tensorflow", "keras") or self._finding:
            return None
        self._finding = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._finding = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Another loader, with what stands around its work.

    Args:
        loader: of the module.
    """

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        if module.__name__ == "tensorflow":
            with quiet_start():
                self._loader.exec_module(module)
                module.config.list_physical_devices()
            return
        self._loader.exec_module(module)
        tensorflow = sys.modules.get("tensorflow")
        # While TensorFlow itself loads Keras, learners can't be loaded yet.
        if tensorflow is not None and not getattr(tensorflow.__spec__, "_initializing", False):
            _register()
