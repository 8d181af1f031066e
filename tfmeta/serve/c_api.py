"""TensorFlow's C API by ctypes, out of the library that the imported `tensorflow` runs on."""

import ctypes
import functools
import pathlib

import tensorflow as tf

from tfmeta.serve.errors import ServingError, of_number

Pointer = ctypes.c_void_p


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


@functools.cache
def api() -> ctypes.CDLL:
    """TensorFlow's C API, out of the library that the imported `tensorflow` runs on."""
    folder = pathlib.Path(tf.sysconfig.get_lib())
    for path in sorted(folder.glob("libtensorflow_cc.*")):
        library = ctypes.CDLL(str(path))
        if hasattr(library, "TF_LoadSessionFromSavedModel"):
            _declare(library)
            return library
    raise ImportError(
        f"The server needs TensorFlow's C API. Received: no libtensorflow_cc with it in {folder}. "
        "Install tensorflow 2.19 to 2.21."
    )


def _declare(library):
    """Result and argument types: pointers have 64 bits, an int has not."""
    pointer, integer, size, text = Pointer, ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p
    buffer = ctypes.POINTER(Buffer)
    for name, result, arguments in (
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
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
