"""TF Serving's JSON of a predict request, to arrays.

The rules, the order of checks and the messages are those of its `util/json_tensor.cc`: values
are of exactly the type that the signature says, `inputs` is columnar, `instances` is rows, and
`{"b64": ...}` is a string of bytes.
"""

import base64
import binascii
import itertools
import re

import numpy as np
import tensorflow as tf

from tfmeta.serve.errors import Code, ServingError, invalid
from tfmeta.serve.models.tensor_protos import type_name
from tfmeta.serve.rest.json_reading import parse
from tfmeta.serve.rest.json_text import debug_string

_INTEGERS = {
    "int8": (-(2**31), 2**31 - 1),
    "int16": (-(2**31), 2**31 - 1),
    "uint8": (-(2**31), 2**31 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_FLOATS = ("float32", "float64")


def predict_request(body, signature_of):
    """A predict request's parts.

    Args:
        body: bytes of JSON.
        signature_of: function from the signature's name, "" for the default one, to `Signature`.

    Returns:
        (signature name, `{name: array}`, whether it is row by row).

    Raises:
        ServingError: INVALID_ARGUMENT, in TF Serving's words.
    """
    document = parse(body)
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {debug_string(document)} not formatted correctly. 'signature_name' key "
            "must be a string value."
        )
    types = {key: tf.dtypes.as_dtype(dtype) for key, dtype in signature_of(name).inputs.items()}
    if not types:
        raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    if "instances" in document:
        return name, _rows(_instances(document), types), True
    if "inputs" in document:
        return name, _columns(document["inputs"], types), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _instances(document):
    shown, instances = debug_string(document), document["instances"]
    if "inputs" in document:
        raise invalid(
            f"JSON Value: {shown} Not formatted correctly expecting only one of 'inputs' or "
            "'instances' keys to exist "
        )
    if not isinstance(instances, list):
        raise invalid(f"JSON Value: {shown} Expecting 'instances' to be an list/array")
    if not instances:
        raise invalid(f"JSON Value: {shown} No values in 'instances' array")
    return instances


def _columns(value, types):
    if not isinstance(value, dict) or _is_base64(value):
        if len(types) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        return {name: array(value, dtype) for name, dtype in types.items()}
    arrays = {}
    for name, dtype in types.items():
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        arrays[name] = array(value[name], dtype)
    return arrays


def _rows(instances, types):
    if not isinstance(instances[0], dict) and len(types) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    named = _is_plain_object(instances[0])
    columns = {name: [] for name in types}
    for position, element in enumerate(instances):
        if named != _is_plain_object(element):
            expected, got = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {expected} but got {got} at item {position} of input list")
        parts = element if named else {next(iter(types)): element}
        for name, value in parts.items():
            where = f"{position} key: {name}" if named else f"{position}"
            _add_row(columns, types, name, value, where)
        if named and set(parts) != set(types):
            raise invalid(
                f"Failed to process element: {position} of 'instances' list. JSON object: "
                f"{debug_string(element)} keys must be equal to: {','.join(types)}"
            )
    return {name: np.stack(rows) for name, rows in columns.items()}


def _add_row(columns, types, name, value, where):
    try:
        if name not in types:
            raise invalid(f"JSON object: does not have named input: {name}")
        row, rows = array(value, types[name]), columns[name]
        if rows and rows[0].size != row.size:
            raise invalid(f"Expecting tensor size: {rows[0].size} but got: {row.size}")
        if rows and rows[0].shape != row.shape:
            raise invalid(f"Expecting shape {_shape(rows[0])} but got: {_shape(row)}")
        rows.append(row)
    except ServingError as error:
        raise invalid(
            f"Failed to process element: {where} of 'instances' list. Error: "
            f"{error.code.name}: {error.message}"
        ) from None


def array(value, dtype) -> np.ndarray:
    """The array of a JSON value: lists of equal length, of values of one type.

    Args:
        value: what JSON gave.
        dtype: `tf.DType`.

    Raises:
        ServingError: INVALID_ARGUMENT naming the first value that does not fit, UNIMPLEMENTED
            for a type that JSON cannot carry.
    """
    shape, level = [], [value]
    while level and isinstance(level[0], list):
        size = len(level[0])
        if not (set(map(type, level)) == {list} and set(map(len, level)) == {size}):
            raise _misfit(value, dtype)
        shape.append(size)
        level = list(itertools.chain.from_iterable(level))
    if not _leaves_fit(level, dtype):
        raise _misfit(value, dtype)
    if len(shape) > 32:
        raise invalid(f"A tensor must have at most 32 axes. Received: {len(shape)}.")
    if dtype == tf.string:
        level = [_bytes(each) for each in level]
        return np.array([*level, None], object)[:-1].reshape(shape)
    try:
        with np.errstate(over="ignore"):  # becomes infinite, which the model's guard refuses
            wide = np.int64 if dtype.name in ("int8", "int16", "uint8") else dtype.as_numpy_dtype
            return np.array(level, wide).astype(dtype.as_numpy_dtype).reshape(shape)
    except OverflowError:
        raise invalid("JSON Parse error: Number too big to be stored in double.") from None


def _leaves_fit(leaves, dtype):
    kinds = set(map(type, leaves))
    if dtype.name in _FLOATS:
        return kinds <= {int, float}
    if dtype.name in _INTEGERS:
        low, high = _INTEGERS[dtype.name]
        return kinds <= {int} and (not leaves or (min(leaves) >= low and max(leaves) <= high))
    if dtype == tf.bool:
        return kinds <= {bool}
    return dtype == tf.string and kinds <= {str, dict}


def _misfit(value, dtype):
    """The error of the first value that does not fit, searched in TF Serving's order."""
    rank, first = [], value
    while isinstance(first, list):
        rank.append(len(first))
        if not first:
            break
        first = first[0]
    # Iterators, since a list of pending items would be as large again as the value.
    stack = [iter([value])]
    while stack:
        for item in stack[-1]:
            error = _item_error(item, len(stack) - 1, rank, dtype)
            if error:
                return error
            if isinstance(item, list):
                stack.append(iter(item))
                break
        else:
            stack.pop()
    return invalid("The JSON value is not a tensor.")


def _item_error(item, level, rank, dtype):
    if not isinstance(item, list):
        if level != len(rank):
            return invalid(
                f"JSON Value: {debug_string(item)} found at incorrect level: {level + 1} in "
                f"the JSON DOM. Expected at level: {len(rank)}"
            )
        return None if _leaves_fit([item], dtype) else _type_error(item, dtype)
    if level >= len(rank):
        return invalid(f"Encountered list at unexpected level: {level} expected < {len(rank)}")
    if len(item) != rank[level]:
        return invalid(
            f"Encountered list at unexpected size: {len(item)} at level: {level} expected "
            f"size: {rank[level]}"
        )
    return None


def _type_error(value, dtype):
    known = dtype.name in _FLOATS or dtype.name in _INTEGERS or dtype in (tf.bool, tf.string)
    short = type_name(dtype)
    if not known and not isinstance(value, dict):
        return ServingError(
            Code.UNIMPLEMENTED, f"Conversion of JSON Value: {debug_string(value)} to type: {short}"
        )
    return invalid(
        f"JSON Value: {debug_string(value)} Type: {_json_type(value)} is not of expected type: "
        f"{short}"
    )


def _json_type(value):
    names = {type(None): "Null", dict: "Object", list: "Array", str: "String"}
    return (
        {True: "True", False: "False"}[value]
        if isinstance(value, bool)
        else names.get(type(value), "Number")
    )


def _bytes(value):
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if not _is_base64(value):
        raise invalid(f"JSON Value: {debug_string(value)} not formatted correctly for base64 data")
    text = re.sub(r"\s", "", value["b64"]).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def _is_base64(value):
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)


def _is_plain_object(value):
    return isinstance(value, dict) and not _is_base64(value)


def _shape(row):
    return "[" + ",".join(str(size) for size in row.shape) + "]"
