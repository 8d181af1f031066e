"""JSON of answers, written as TF Serving writes it: by RapidJSON.

It is indented by four, lists on one line, floats as short as they can be and still be the same
number. Strings leave as the bytes they are, UTF-8 or not.
"""

import base64
import json
import re

import numpy as np

from tfmeta.serve.errors import invalid
from tfmeta.serve.models.tensor_protos import array_type_name

_LONGEST_SHOWN = 256
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "bool")
_SPECIAL = re.compile(r'[\x00-\x1f"\\]')
_ESCAPED = {
    **{chr(code): f"\\u{code:04X}" for code in range(32)},
    **{"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"},
}


def _quoted(text):
    return '"' + _SPECIAL.sub(lambda found: _ESCAPED[found[0]], text) + '"'


def _encoded(text):
    return text.encode("utf-8", "surrogateescape")


def debug_string(value) -> str:
    """A JSON value as an error shows it: cut after some 256 characters."""
    parts, length = [], 0
    for part in _shown(value, 0):
        parts.append(part)
        length += len(part)
        if length >= _LONGEST_SHOWN:
            break
    return "".join(parts)


def _shown(value, depth):
    if isinstance(value, dict) and value and depth < _LONGEST_SHOWN:
        for position, (key, item) in enumerate(value.items()):
            yield "{" if position == 0 else ","
            yield "\n" + "    " * (depth + 1) + _quoted(key) + ": "
            yield from _shown(item, depth + 1)
        yield "\n" + "    " * depth + "}"
    elif isinstance(value, list) and depth < _LONGEST_SHOWN:
        yield "["
        for position, item in enumerate(value):
            if position:
                yield ", "
            yield from _shown(item, depth + 1)
        yield "]"
    elif value and isinstance(value, list | dict):
        yield "..."
    elif isinstance(value, str):
        yield _quoted(value[: 2 * _LONGEST_SHOWN])
    else:
        yield json.dumps(value)


def error_body(message) -> bytes:
    """The body of an error."""
    return _encoded(f'{{\n    "error": {_quoted(message)}\n}}')


def answer_body(outputs, rows) -> bytes:
    """The body of an answer.

    Args:
        outputs: `{name: array}`.
        rows: whether as `predictions`, row by row, or as `outputs`, column by column.

    Raises:
        ServingError: INVALID_ARGUMENT if rows are asked for and the outputs differ in length.
    """
    outputs = dict(sorted(outputs.items()))
    if not rows:
        columns = {name: _array_text(value, name) for name, value in outputs.items()}
        inner = next(iter(columns.values())) if len(columns) == 1 else _object(columns, 1)
        return _encoded(f'{{\n    "outputs": {inner}\n}}')
    length = None
    for name, value in outputs.items():
        if value.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if length not in (None, len(value)):
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(value)} expecting: {length}"
            )
        length = len(value)
    texts = {name: [_array_text(row, name) for row in value] for name, value in outputs.items()}
    if len(texts) == 1:
        lines = next(iter(texts.values()))
    else:
        lines = [
            _object({name: rows[item] for name, rows in texts.items()}, 2) for item in range(length)
        ]
    separator = (
        ", " if len(texts) == 1 and next(iter(outputs.values())).ndim == 1 else ",\n        "
    )
    start, end = ("[", "]") if separator == ", " else ("[\n        ", "\n    ]")
    return _encoded(f'{{\n    "predictions": {start}{separator.join(lines)}{end}\n}}')


def _object(members, depth):
    space = "\n" + "    " * (depth + 1)
    inner = ",".join(f"{space}{_quoted(name)}: {text}" for name, text in members.items())
    return "{" + inner + "\n" + "    " * depth + "}"


def _array_text(value, name):
    value = np.asarray(value)
    leaves = _leaf_texts(value.reshape(-1), name)
    for size in reversed(value.shape):
        if size == 0:
            return _empty(value.shape)
        leaves = [
            "[" + ", ".join(leaves[start : start + size]) + "]"
            for start in range(0, len(leaves), size)
        ]
    return leaves[0]


def _empty(shape):
    if not shape or shape[0] == 0:
        return "[]"
    return "[" + ", ".join([_empty(shape[1:])] * shape[0]) + "]"


def _leaf_texts(values, name):
    kind = values.dtype.kind
    if kind == "f" and values.dtype.itemsize in (4, 8):
        return _decimals(values)
    if values.dtype.name in _INTEGERS:
        return [json.dumps(value) for value in values.tolist()]
    if kind in "OS":
        return [_string(value, name) for value in values.tolist()]
    if not len(values):
        return []
    raise invalid(f"Failed to write JSON value for tensor type: {array_type_name(values.dtype)}")


def _string(value, name):
    if name.endswith("_bytes"):
        return json.dumps({"b64": base64.b64encode(value).decode()})
    return _quoted(value.decode("utf-8", "surrogateescape"))


def _decimals(values):
    """Six digits where they are enough, else as many as the type needs: `WriteDecimal` there."""
    digits = 9 if values.dtype.itemsize == 4 else 17
    texts = [f"{value:.6g}" for value in values.tolist()]
    with np.errstate(over="ignore"):
        same = np.array(texts, np.float64).astype(values.dtype) == values
    for position in np.flatnonzero(~same & np.isfinite(values)).tolist():
        texts[position] = f"{float(values[position]):.{digits}g}"
    special = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return [
        text if "." in text or "e" in text else special.get(text, f"{text}.0") for text in texts
    ]
