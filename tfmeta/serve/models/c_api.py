"""TensorFlow's C API by ctypes, out of the library that the imported `tensorflow` runs on.

Functions that may take long give the interpreter's lock up. The others keep it: each time a thread
takes the lock back it may have to wait for all others that want it.
"""

import ctypes
import functools
import pathlib

import tensorflow as tf

from tfmeta.serve.errors import ServingError, of_number

Pointer = ctypes.c_void_p
_DISABLE_XLA = "_ZN10tensorflow21DisableXlaCompilationEv"
_LONG = (
    "TF_LoadSessionFromSavedModel",
    "TF_SessionRun",
    "TF_CloseSession",
    "TF_DeleteSession",
    "TF_DeleteGraph",
)
_MUCH = 2**20  # bytes whose copying takes long
_copy_keeping_lock = ctypes.PyDLL(None).memmove
_copy_keeping_lock.restype, _copy_keeping_lock.argtypes = None, [Pointer, Pointer, ctypes.c_size_t]


def copy(target, source, size) -> None:
    """Copies bytes from one address to another."""
    if size < _MUCH:
        _copy_keeping_lock(target, source, size)
    else:
        ctypes.memmove(target, source, size)


class Port(ctypes.Structure):
    """An output of an operation: TF_Output."""

    _fields_ = (("operation", Pointer), ("index", ctypes.c_int))


class Buffer(ctypes.Structure):
    """TF_Buffer."""

    _fields_ = (("data", Pointer), ("length", ctypes.c_size_t), ("deallocator", Pointer))


class Status:
    """A TF_Status for the length of a `with`."""

    def __init__(self, library):
        self._api = library

    def __enter__(self):
        self.pointer = self._api.TF_NewStatus()
        return self

    def __exit__(self, *exception):
        self._api.TF_DeleteStatus(self.pointer)

    def check(self):
        """Raises a ServingError unless the last call succeeded."""
        code = self._api.TF_GetCode(self.pointer)
        if code:
            message = self._api.TF_Message(self.pointer).decode("utf-8", "replace")
            raise ServingError(of_number(code), message)


class CApi:
    """The functions of TensorFlow's C API, by their names.

    Args:
        path: of libtensorflow_cc.
    """

    def __init__(self, path):
        keeping, giving_up = ctypes.PyDLL(str(path)), ctypes.CDLL(str(path))
        for name, result, arguments in _functions():
            function = getattr(giving_up if name in _LONG else keeping, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        self.disable_xla = getattr(giving_up, _DISABLE_XLA, None)


@functools.cache
def api() -> CApi:
    """TensorFlow's C API, out of the library that the imported `tensorflow` runs on."""
    folder = pathlib.Path(tf.sysconfig.get_lib())
    for path in sorted(folder.glob("libtensorflow_cc.*")):
        if hasattr(ctypes.CDLL(str(path)), "TF_LoadSessionFromSavedModel"):
            return CApi(path)
    raise ImportError(
        f"The server needs TensorFlow's C API. Received: no libtensorflow_cc with it in {folder}. "
        "Install tensorflow 2.19 to 2.21."
    )


def _functions():
    """(name, result type, argument types): pointers have 64 bits, an int has not."""
    pointer, integer, size, text = Pointer, ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p
    buffer = ctypes.POINTER(Buffer)
    return (
        ("TF_NewStatus", pointer, []),
        ("TF_DeleteStatus", None, [pointer]),
        ("TF_GetCode", integer, [pointer]),
        ("TF_Message", text, [pointer]),
        ("TF_NewBuffer", buffer, []),
        ("TF_NewBufferFromString", buffer, [text, size]),
        ("TF_DeleteBuffer", None, [buffer]),
        ("TF_NewGraph", pointer, []),
        ("TF_DeleteGraph", None, [pointer]),
        ("TF_NewSessionOptions", pointer, []),
        ("TF_DeleteSessionOptions", None, [pointer]),
        ("TF_SetConfig", None, [pointer, text, size, pointer]),
        (
            "TF_LoadSessionFromSavedModel",
            pointer,
            [pointer, pointer, text, pointer, integer, pointer, buffer, pointer],
        ),
        ("TF_CloseSession", None, [pointer, pointer]),
        ("TF_DeleteSession", None, [pointer, pointer]),
        ("TF_GraphOperationByName", pointer, [pointer, text]),
        ("TF_GraphNextOperation", pointer, [pointer, pointer]),
        ("TF_OperationName", text, [pointer]),
        ("TF_OperationOpType", text, [pointer]),
        ("TF_OperationNumOutputs", integer, [pointer]),
        (
            "TF_SessionRun",
            None,
            [
                *(pointer, buffer, pointer, pointer, integer, pointer, pointer, integer),
                *(pointer, integer, pointer, pointer),
            ],
        ),
        ("TF_AllocateTensor", pointer, [integer, pointer, integer, size]),
        ("TF_DeleteTensor", None, [pointer]),
        ("TF_TensorData", pointer, [pointer]),
        ("TF_TensorType", integer, [pointer]),
        ("TF_NumDims", integer, [pointer]),
        ("TF_Dim", ctypes.c_int64, [pointer, integer]),
        ("TF_StringInit", None, [pointer]),
        ("TF_StringCopy", None, [pointer, text, size]),
        ("TF_StringGetDataPointer", pointer, [pointer]),
        ("TF_StringGetSize", size, [pointer]),
    )
