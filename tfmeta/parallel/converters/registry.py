"""The one place that touches the private converter registry of TensorFlow's `pfor`.

`tf.vectorized_map` turns each operation of its function into one over a whole axis, by a registry
of converters. TensorFlow's own converters for convolutions run a `while_loop` over tasks once
tasks have kernels of their own. `task_converters()` puts tfmeta's in front of them, on this
thread, inside the `with`; everything else that uses `tf.vectorized_map` keeps TensorFlow's, but
for operations that tfmeta itself put there and whose derivatives TensorFlow's converters lose.
"""

import contextlib
import functools
import logging
import threading
from collections.abc import Callable
from typing import Any

_logger = logging.getLogger("tfmeta")
_converters: dict[str, Callable[[Any], Any]] = {}
# Attribute of an operation by which tfmeta gives it a gradient (`tf.Graph.gradient_override_map`).
_MARK, _OWN = "_gradient_op_type", b"Tfmeta"
_install_lock = threading.Lock()
_installed = False


class _ThreadState(threading.local):
    active = False


_thread = _ThreadState()


def task_converter(*op_types):
    """Registers a converter for operation types: a function of a `pfor` input to tensors.

    The function returns the stacked output tensor [T, ...], or a list of them, or None to leave
    the operation to TensorFlow's own converter.
    """

    def register(function):
        for op_type in op_types:
            _converters[op_type] = function
        return function

    return register


@contextlib.contextmanager
def task_converters():
    """Uses tfmeta's converters for vectorised maps that this thread traces inside the `with`."""
    install()
    previous, _thread.active = _thread.active, True
    try:
        yield
    finally:
        _thread.active = previous


def install():
    """Puts tfmeta's converters in front of TensorFlow's."""
    global _installed
    if _installed:
        return
    with _install_lock:
        if _installed:
            return
        try:
            from tensorflow.python.ops.parallel_for import pfor

            registry, wrap = pfor._pfor_converter_registry, pfor.wrap
            missing = pfor.ConversionNotImplementedError
            for op_type, converter in _converters.items():
                registry[op_type] = _in_front_of(registry.get(op_type), converter, wrap, missing)
        except (ImportError, AttributeError) as error:
            _logger.warning(
                "This TensorFlow has no converter registry where tfmeta looks for it (%s): "
                "vectorised tasks work, but their convolutions run one task at a time.",
                error,
            )
        _installed = True


def _in_front_of(original, converter, wrap, missing):
    @functools.wraps(converter)
    def convert(pfor_input, *args, **kwargs):
        if _thread.active or _is_own(pfor_input.op):
            output = converter(pfor_input)
            if isinstance(output, list):
                return [wrap(tensor, True) for tensor in output]
            if output is not None:
                return wrap(output, True)
        if original is None:
            # What pfor does for an operation without a converter: a loop over tasks.
            raise missing(f"there is no registered converter for {pfor_input.op_type}.")
        return original(pfor_input, *args, **kwargs)

    return convert


def _is_own(op):
    return op.node_def.attr[_MARK].s.startswith(_OWN) if _MARK in op.node_def.attr else False
