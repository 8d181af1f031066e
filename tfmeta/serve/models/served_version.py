"""One version of a model in memory: a session that executes its graph in C++.

The checks of a request and their messages are those of TF Serving's
`servables/tensorflow/predict_util.cc` and of TensorFlow's `cc/saved_model/util.cc`.
"""

import functools
import logging
import time

import tensorflow as tf

from tfmeta.serve.errors import Code, ServingError, invalid
from tfmeta.serve.models.c_api import api
from tfmeta.serve.models.large_work import release_memory
from tfmeta.serve.models.native_session import NativeSession, directly
from tfmeta.serve.models.signature import Signature

DEFAULT_SIGNATURE = "serving_default"
_CALLING_THREAD = -1


class ServedVersion:
    """A loaded SavedModel.

    Args:
        path: version directory.
        intra_op_parallelism: threads of an operation; 0 for TensorFlow's choice.
        inter_op_parallelism: operations at once; 0 for TensorFlow's choice.
        call: how the runtime is called to load the version (`NativeSession`).

    Attributes:
        signature_defs: `{name: SignatureDef}` of the model.

    Raises:
        ServingError: if the directory holds no SavedModel that loads.
    """

    def __init__(self, path, intra_op_parallelism=0, inter_op_parallelism=0, call=directly):
        disable_xla()
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=intra_op_parallelism,
            inter_op_parallelism_threads=inter_op_parallelism,
        )
        config.gpu_options.allow_growth = True
        # Else the first run of each signature optimises the functions of all of them.
        config.graph_options.place_pruned_graph = True
        self._session = NativeSession(path, config, call)
        self.signature_defs = self._session.signature_defs
        self._signatures = {
            name: Signature(definition, self._session)
            for name, definition in self.signature_defs.items()
        }

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

    def run(self, signature_name, inputs, output_filter=(), deadline=None, call=directly):
        """Executes a signature.

        Args:
            signature_name: empty for the default one.
            inputs: `{name: array}`.
            output_filter: names of outputs to compute; empty for all.
            deadline: `time.monotonic()` at which the run is given up, or None.
            call: how the runtime is called (`NativeSession`); unless directly, all operations run
                in the thread that it is called in, and so at its priority.

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
            options = _run_options(deadline, own_thread=call is not directly)
            values = self._session.run(feeds, list(fetches.values()), options, call)
        except (TypeError, ValueError) as error:  # what the runtime has no type for
            raise invalid(str(error)) from None
        except RuntimeError as error:
            raise ServingError(Code.UNAVAILABLE, "The version was unloaded.") from error
        return dict(zip(fetches, values, strict=True))

    def close(self, call=directly):
        """Frees the session and the graph; `call` as of the constructor."""
        self._session.close(call)
        release_memory()


def _run_options(deadline, own_thread):
    options = tf.compat.v1.RunOptions()
    if own_thread:
        options.inter_op_thread_pool = _CALLING_THREAD
    if deadline is not None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise ServingError(Code.DEADLINE_EXCEEDED, "Deadline exceeded before the run.")
        options.timeout_in_ms = max(1, round(left * 1000))
    return options


@functools.cache
def disable_xla():
    """Disables XLA for this process, as TF Serving's `main.cc` does, so that its graphs match."""
    if api().disable_xla is not None:
        api().disable_xla()
        return
    logging.getLogger("tfmeta.serve").warning(
        "XLA stays enabled: this TensorFlow has no libtensorflow_cc that disables it",
        extra={"event": "xla"},
    )
