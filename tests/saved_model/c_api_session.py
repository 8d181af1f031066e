"""TensorFlow's C API by ctypes: the loader and session that TensorFlow Serving uses.

The process must never import tensorflow: a second copy of its registries crashes.
"""

import ctypes
import pathlib

import numpy as np
from request_pipe import RequestError

DTYPES = {
    1: np.float32,
    2: np.float64,
    3: np.int32,
    4: np.uint8,
    9: np.int64,
    10: np.bool_,
}
CODES = {np.dtype(dtype): code for code, dtype in DTYPES.items()}
# ConfigProto(graph_options=GraphOptions(place_pruned_graph=True)), serialized.
PRUNED = b"\x52\x02\x30\x01"
DISABLE_XLA = "_ZN10tensorflow21DisableXlaCompilationEv"
Pointer = ctypes.c_void_p


class Port(ctypes.Structure):
    """An operation's output: TF_Output."""

    _fields_ = (("operation", Pointer), ("index", ctypes.c_int))


class CApiSession:
    """A SavedModel in a session of the C API.

    Args:
        libraries: folder of libtensorflow_cc and libtensorflow_framework.
        export: version directory.
        disable_xla: whether to disable XLA for the process, as TensorFlow Serving does.
        pruned: whether a signature's first run prepares that signature alone, which is quicker.
            A stock server prepares all functions of the graph each time.

    Raises:
        RequestError: with TensorFlow's code, where a call fails.
    """

    def __init__(self, libraries, export, disable_xla=True, pruned=False):
        libraries = pathlib.Path(libraries)
        ctypes.CDLL(str(libraries / "libtensorflow_framework.so.2"), ctypes.RTLD_GLOBAL)
        self._api = ctypes.CDLL(str(libraries / "libtensorflow_cc.so.2"), ctypes.RTLD_GLOBAL)
        _declare(self._api)
        if disable_xla:
            getattr(self._api, DISABLE_XLA)()
        self._status = self._api.TF_NewStatus()
        self._graph = self._api.TF_NewGraph()
        options = self._api.TF_NewSessionOptions()
        if pruned:
            self._api.TF_SetConfig(options, PRUNED, len(PRUNED), self._status)
            self._check()
        tags = (ctypes.c_char_p * 1)(b"serve")
        self._session = self._api.TF_LoadSessionFromSavedModel(
            options, None, str(export).encode(), tags, 1, self._graph, None, self._status
        )
        self._check()

    def run(self, inputs, outputs) -> dict:
        """Feeds `{tensor name: array}` and fetches `{key: tensor name}` as `{key: array}`."""
        feeds = [self._tensor(value) for value in inputs.values()]
        fetched = (Pointer * len(outputs))()
        self._api.TF_SessionRun(
            self._session,
            None,
            self._ports(inputs),
            (Pointer * len(feeds))(*feeds),
            len(feeds),
            self._ports(outputs.values()),
            fetched,
            len(outputs),
            None,
            0,
            None,
            self._status,
        )
        for feed in feeds:
            self._api.TF_DeleteTensor(feed)
        self._check()
        return {key: self._array(tensor) for key, tensor in zip(outputs, fetched, strict=True)}

    def _check(self):
        code = self._api.TF_GetCode(self._status)
        if code != 0:
            raise RequestError(code, self._api.TF_Message(self._status).decode())

    def _ports(self, names):
        ports = []
        for name in names:
            operation, index = name.split(":")
            found = self._api.TF_GraphOperationByName(self._graph, operation.encode())
            assert found, name
            ports.append(Port(found, int(index)))
        return (Port * len(ports))(*ports)

    def _tensor(self, value):
        value = np.array(value, order="C")  # ascontiguousarray would turn a scalar into [1]
        shape = (ctypes.c_int64 * value.ndim)(*value.shape)
        code = CODES[value.dtype]
        tensor = self._api.TF_AllocateTensor(code, shape, value.ndim, value.nbytes)
        ctypes.memmove(self._api.TF_TensorData(tensor), value.ctypes.data, value.nbytes)
        return tensor

    def _array(self, tensor):
        shape = [self._api.TF_Dim(tensor, axis) for axis in range(self._api.TF_NumDims(tensor))]
        value = np.empty(shape, DTYPES[self._api.TF_TensorType(tensor)])
        ctypes.memmove(value.ctypes.data, self._api.TF_TensorData(tensor), value.nbytes)
        self._api.TF_DeleteTensor(tensor)
        return value


def _declare(api):
    """Result and argument types of the functions used: pointers are 64 bits, an int is not."""
    integer, text = ctypes.c_int, ctypes.c_char_p
    for name, result, arguments in (
        ("TF_NewStatus", Pointer, []),
        ("TF_GetCode", integer, [Pointer]),
        ("TF_Message", text, [Pointer]),
        ("TF_NewGraph", Pointer, []),
        ("TF_NewSessionOptions", Pointer, []),
        ("TF_SetConfig", None, [Pointer, text, ctypes.c_size_t, Pointer]),
        (
            "TF_LoadSessionFromSavedModel",
            Pointer,
            [Pointer, Pointer, text, Pointer, integer, Pointer, Pointer, Pointer],
        ),
        ("TF_GraphOperationByName", Pointer, [Pointer, text]),
        ("TF_AllocateTensor", Pointer, [integer, Pointer, integer, ctypes.c_size_t]),
        ("TF_TensorData", Pointer, [Pointer]),
        ("TF_TensorType", integer, [Pointer]),
        ("TF_NumDims", integer, [Pointer]),
        ("TF_Dim", ctypes.c_int64, [Pointer, integer]),
        ("TF_DeleteTensor", None, [Pointer]),
        (
            "TF_SessionRun",
            None,
            [Pointer] * 4 + [integer] + [Pointer] * 2 + [integer, Pointer, integer] + [Pointer] * 2,
        ),
    ):
        function = getattr(api, name)
        function.restype, function.argtypes = result, arguments
