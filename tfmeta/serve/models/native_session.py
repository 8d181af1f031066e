"""A session of TensorFlow's C API: a SavedModel loaded and run without Python's lock.

A session of TensorFlow's Python makes an object of each node while it holds the interpreter's
lock, so no request is answered meanwhile, and it leaves cycles for the garbage collector. Here each
call into the runtime gives the lock up, and no node of the graph is in Python. Fed tensors are not
compared with placeholders' static shapes: the graph decides, as in TensorFlow Serving.
"""

import ctypes
import os
import pathlib

import numpy as np
import tensorflow as tf

from tfmeta.serve.errors import Code, ServingError
from tfmeta.serve.models.c_api import Pointer, Port, Status, api, copy
from tfmeta.serve.models.meta_graph import signature_definitions

TAG = b"serve"
_VARIABLES = "variables/variables.index"
_VARIABLE_TYPES = (b"VarHandleOp", b"VariableV2", b"Variable")
_STRING_BYTES = 24  # sizeof(TF_TString)


def directly(function, *arguments):
    """Calls a function."""
    return function(*arguments)


class NativeSession:
    """A SavedModel in memory.

    Example:

        session = NativeSession("exported/sinusoid/1")
        definition = session.signature_defs["predict"]
        x, y = session.port(definition.inputs["x"].name), session.port(definition.outputs["y"].name)
        (answer,) = session.run([(x, np.float32([1.0]))], [y])
        session.close()

    Args:
        path: version directory.
        config: `ConfigProto` of the session, or None for TensorFlow's own choices.
        call: `call(function, *arguments)`, by which the runtime is called to load the version:
            `low_priority.call` for a version that is not to hold up requests.

    Attributes:
        signature_defs: `{name: SignatureDef}` of the model.

    Raises:
        ServingError: with the runtime's code and message, if the directory cannot be loaded.
    """

    def __init__(self, path, config=None, call=directly):
        self._api = api()
        self._session = self._graph = None
        options = self._api.TF_NewSessionOptions()
        buffer = self._api.TF_NewBuffer()
        try:
            with Status(self._api) as status:
                if config is not None:
                    text = config.SerializeToString()
                    self._api.TF_SetConfig(options, text, len(text), status.pointer)
                    status.check()
                self._graph = self._api.TF_NewGraph()
                self._session = call(
                    self._api.TF_LoadSessionFromSavedModel,
                    *(options, None, os.fsencode(path), (ctypes.c_char_p * 1)(TAG), 1),
                    *(self._graph, buffer, status.pointer),
                )
                status.check()
            self._refuse_missing_variables(pathlib.Path(path))
            loaded = buffer.contents
            self.signature_defs = signature_definitions(
                ctypes.string_at(loaded.data, loaded.length)
            )
        except BaseException:
            self.close()
            raise
        finally:
            self._api.TF_DeleteBuffer(buffer)
            self._api.TF_DeleteSessionOptions(options)

    def port(self, name) -> Port | None:
        """The output that a tensor's name stands for; None where the graph has no such output.

        Args:
            name: "operation:index".
        """
        operation, _, index = name.partition(":")
        found = self._api.TF_GraphOperationByName(self._graph, operation.encode())
        if not found or not index.isdecimal():
            return None
        if int(index) >= self._api.TF_OperationNumOutputs(found):
            return None
        return Port(found, int(index))

    def run(self, feeds, fetches, options=None, call=directly) -> list:
        """Computes outputs.

        Args:
            feeds: list of (`Port`, array); strings as object arrays of bytes or text.
            fetches: list of `Port`.
            options: `RunOptions`, or None.
            call: as of the constructor.

        Returns:
            Arrays, in the order of `fetches`; strings as object arrays of bytes.

        Raises:
            ServingError: with the runtime's code and message.
            RuntimeError: if the session is closed.
        """
        if self._session is None:
            raise RuntimeError("The session is closed.")
        fed, fetched = [], (Pointer * len(fetches))()
        text = options.SerializeToString() if options is not None else None
        buffer = self._api.TF_NewBufferFromString(text, len(text)) if text is not None else None
        try:
            for _, value in feeds:
                fed.append(_to_tensor(self._api, value))
            with Status(self._api) as status:
                call(
                    self._api.TF_SessionRun,
                    *(self._session, buffer),
                    *((Port * len(feeds))(*(port for port, _ in feeds)),),
                    *((Pointer * len(fed))(*fed), len(fed)),
                    *((Port * len(fetches))(*fetches), fetched, len(fetches)),
                    *(None, 0, None, status.pointer),
                )
                status.check()
            return [_to_array(self._api, tensor) for tensor in fetched]
        finally:
            for tensor in (*fed, *fetched):
                if tensor:
                    self._api.TF_DeleteTensor(tensor)
            if buffer is not None:
                self._api.TF_DeleteBuffer(buffer)

    def _refuse_missing_variables(self, path):
        """The runtime loads such a version, and fails at each request that reads a variable."""
        if (path / _VARIABLES).exists():
            return
        position = ctypes.c_size_t(0)
        while node := self._api.TF_GraphNextOperation(self._graph, ctypes.byref(position)):
            if self._api.TF_OperationOpType(node) in _VARIABLE_TYPES:
                name = self._api.TF_OperationName(node).decode()
                raise ServingError(
                    Code.NOT_FOUND,
                    f"Could not find the values of variables at supplied export directory path: "
                    f"{path}. The graph reads variable {name}, and {_VARIABLES} does not exist.",
                )

    def close(self, call=directly):
        """Frees the session and the graph; it may be called again. `call` as of the constructor."""
        session, self._session = self._session, None
        graph, self._graph = self._graph, None
        if session:
            with Status(self._api) as status:
                call(self._api.TF_CloseSession, session, status.pointer)
                call(self._api.TF_DeleteSession, session, status.pointer)
        if graph:
            call(self._api.TF_DeleteGraph, graph)


def _to_tensor(library, value):
    """A TF_Tensor that holds a copy of an array."""
    value = np.asarray(value, order="C")  # ascontiguousarray would turn a scalar into [1]
    shape = (ctypes.c_int64 * value.ndim)(*value.shape)
    if value.dtype == object:
        texts = [each.encode() if isinstance(each, str) else bytes(each) for each in value.flat]
        tensor = library.TF_AllocateTensor(
            tf.string.as_datatype_enum, shape, value.ndim, _STRING_BYTES * len(texts)
        )
        place = library.TF_TensorData(tensor)
        for number, text in enumerate(texts):
            string = place + _STRING_BYTES * number
            library.TF_StringInit(string)
            library.TF_StringCopy(string, text, len(text))
        return tensor
    dtype = tf.dtypes.as_dtype(value.dtype).as_datatype_enum
    tensor = library.TF_AllocateTensor(dtype, shape, value.ndim, value.nbytes)
    if value.nbytes:
        copy(library.TF_TensorData(tensor), value.ctypes.data, value.nbytes)
    return tensor


def _to_array(library, tensor):
    """An array that holds a copy of a TF_Tensor."""
    shape = [library.TF_Dim(tensor, axis) for axis in range(library.TF_NumDims(tensor))]
    dtype = tf.dtypes.as_dtype(library.TF_TensorType(tensor))
    place = library.TF_TensorData(tensor)
    if dtype == tf.string:
        value = np.empty(shape, object)
        strings = (place + _STRING_BYTES * number for number in range(value.size))
        value.flat = [
            ctypes.string_at(library.TF_StringGetDataPointer(each), library.TF_StringGetSize(each))
            for each in strings
        ]
        return value
    if dtype in (tf.resource, tf.variant):
        raise ServingError(
            Code.UNIMPLEMENTED, f"An output of type {dtype.name} cannot be sent to a client."
        )
    value = np.empty(shape, dtype.as_numpy_dtype)
    if value.nbytes:
        copy(value.ctypes.data, place, value.nbytes)
    return value
