"""One version of a model in memory: a session that executes its graph in C++.

The checks of a request and their messages are those of TF Serving's
`servables/tensorflow/predict_util.cc` and of TensorFlow's `cc/saved_model/util.cc`.
"""

import ctypes
import functools
import logging
import pathlib
import time

import tensorflow as tf

from tfmeta.serve.errors import Code, ServingError, invalid, of_tensorflow
from tfmeta.serve.large_work import collect_all
from tfmeta.serve.signature import Signature

DEFAULT_SIGNATURE = "serving_default"
_DISABLE_XLA = "_ZN10tensorflow21DisableXlaCompilationEv"


class ServedVersion:
    """A loaded SavedModel.

    Args:
        path: version directory.
        intra_op_parallelism: threads of an operation; 0 for TensorFlow's choice.
        inter_op_parallelism: operations at once; 0 for TensorFlow's choice.

    Attributes:
        signature_defs: `{name: SignatureDef}` of the model.

    Raises:
        ServingError: if the directory holds no SavedModel that loads.
    """

    def __init__(self, path, intra_op_parallelism=0, inter_op_parallelism=0):
        disable_xla()
        _without_deprecation_logs()
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=intra_op_parallelism,
            inter_op_parallelism_threads=inter_op_parallelism,
        )
        config.gpu_options.allow_growth = True
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        try:
            with graph.as_default():
                model = tf.compat.v1.saved_model.load(self._session, ["serve"], str(path))
            self.signature_defs = dict(model.signature_def.items())
            self._signatures = {
                name: Signature(definition, graph)
                for name, definition in self.signature_defs.items()
            }
        except Exception as error:
            self.close()
            raise _load_error(error, path) from error

    def signature(self, name) -> Signature:
        """The signature that a request names; the default one for an empty name.

        Raises:
            ServingError: FAILED_PRECONDITION if the model has none of that name.
        """
        name = name or DEFAULT_SIGNATURE
        if name not in self._signatures:
            raise ServingError(
                Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
            )
        return self._signatures[name]

    def run(self, signature_name, inputs, output_filter=(), deadline=None) -> dict:
        """Executes a signature.

        Args:
            signature_name: empty for the default one.
            inputs: `{name: array}`.
            output_filter: names of outputs to compute; empty for all.
            deadline: `time.monotonic()` at which the run is given up, or None.

        Returns:
            `{name: array}`, by name.

        Raises:
            ServingError: with TensorFlow's code and message.
        """
        signature = self.signature(signature_name)
        signature.check_names(inputs)
        fetches = signature.fetches(output_filter)
        feeds = signature.feeds(inputs)
        try:
            return self._session.run(fetches, feeds, options=_run_options(deadline))
        except tf.errors.OpError as error:
            raise of_tensorflow(error) from None
        except (TypeError, ValueError) as error:
            # A shape that contradicts a placeholder's is refused in Python before the runtime.
            raise invalid(str(error)) from None
        except RuntimeError as error:
            raise ServingError(Code.UNAVAILABLE, "The version was unloaded.") from error

    def close(self):
        """Frees the session and the graph."""
        self._session.close()
        self._session = None
        self._signatures = {}
        collect_all()  # a graph is full of cycles


def _run_options(deadline):
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise ServingError(Code.DEADLINE_EXCEEDED, "Deadline exceeded before the run.")
    return tf.compat.v1.RunOptions(timeout_in_ms=max(1, round(left * 1000)))


def _load_error(error, path):
    if isinstance(error, ServingError):
        return error
    if isinstance(error, tf.errors.OpError):
        return of_tensorflow(error)
    if isinstance(error, OSError) and not pathlib.Path(path, "saved_model.pb").exists():
        return ServingError(
            Code.NOT_FOUND,
            f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {path}.",
        )
    return ServingError(
        Code.INVALID_ARGUMENT, f"Cannot load the SavedModel in {path}: {str(error)[:500]}"
    )


@functools.cache
def disable_xla():
    """Disables XLA for this process, as TF Serving's `main.cc` does, so that its graphs match."""
    folder = pathlib.Path(tf.sysconfig.get_lib())
    for library in sorted(folder.glob("libtensorflow_cc.*")):
        function = getattr(ctypes.CDLL(str(library)), _DISABLE_XLA, None)
        if function is not None:
            function()
            return
    logging.getLogger("tfmeta.serve").warning(
        "XLA stays enabled: this TensorFlow has no libtensorflow_cc that disables it",
        extra={"event": "xla"},
    )


class _NoDeprecation(logging.Filter):
    """Drops the advice to use `tf.saved_model.load`, which runs Python where this must not."""

    def filter(self, record):
        return "is deprecated" not in str(record.msg)


@functools.cache
def _without_deprecation_logs():
    tf.get_logger().addFilter(_NoDeprecation())
