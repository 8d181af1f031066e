"""JSON as TF Serving reads and writes it, which is RapidJSON's way.

What is read may carry NaN and Infinity and anything behind the document; what is written is
indented by four, lists on one line, floats as short as they can be and still be the same number.
"""

import base64
import json
import re

import numpy as np

from tfmeta.serve.errors import invalid, too_large

_LONGEST_SHOWN = 256
# A list or object of a few bytes takes a hundred of memory, and is work for the interpreter.
_BYTES_A_CONTAINER = 8
# Up to the next bracket, or to the end, past strings. Possessive: what only reads on keeps no
# place to come back to, which took a hundred bytes a character.
_BRACKETS = re.compile(r'(?:[^"\[\]{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+([\[\]{}]|\Z)', re.DOTALL)
# What Python's parser says of a mistake, and RapidJSON's words for it.
_WORDS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
    "Invalid control character at": "Invalid encoding in string.",
}


def check_containers(body, most_bytes):
    """Refuses a body of more lists and objects than one of `most_bytes` may have.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    most, found = most_bytes // _BYTES_A_CONTAINER, body.count(b"[") + body.count(b"{")
    if found > most:
        raise too_large(
            f"A request must hold at most {most} lists and objects. Received: {found}. Send less "
            "in one request, or start the server with a higher --max_message_bytes."
        )


def parse(body) -> dict:
    """The object that a body of bytes holds.

    Raises:
        ServingError: INVALID_ARGUMENT with RapidJSON's words for what is wrong, and where.
    """
    whole = body.decode("utf-8", "surrogateescape")
    text = whole.lstrip("\ufeff \t\r\n")
    if not text:
        raise invalid("JSON Parse error: The document is empty")
    try:
        value, _ = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        words = _words(error, text)
        end = len(whole) - len(text) + error.pos
        offset = len(whole[:end].encode("utf-8", "surrogateescape"))
        raise invalid(f"JSON Parse error: {words} at offset: {offset}") from None
    except RecursionError:
        raise invalid("JSON Parse error: Terminate parsing due to nesting.") from None
    except ValueError:  # a number of thousands of digits
        raise invalid("JSON Parse error: Number too big to be stored in double.") from None
    if not isinstance(value, dict):
        raise invalid(f"JSON Value: {debug_string(value)} Is not object")
    return value


def _first_of_each(members):
    """An object that keeps the first of members of one name, as RapidJSON's FindMember does."""
    value = dict(members)
    if len(value) < len(members):
        value = {}
        for name, item in members:
            value.setdefault(name, item)
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_first_of_each)


def _words(error, text):
    if error.msg != "Expecting ',' delimiter":
        return _WORDS.get(error.msg, "Invalid value.")
    depth = []
    for found in _BRACKETS.finditer(text, 0, error.pos):
        if found[1] in ("[", "{"):
            depth.append(found[1])
        elif found[1] and depth:
            depth.pop()
    if depth and depth[-1] == "{":
        return "Missing a comma or } after an object member."
    return "Missing a comma or ] after an array element."


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
            yield "\n" + "    " * (depth + 1) + json.dumps(key, ensure_ascii=False) + ": "
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
        yield json.dumps(value[: 2 * _LONGEST_SHOWN], ensure_ascii=False)
    else:
        yield json.dumps(value)


def error_body(message) -> bytes:
    """The body of an error."""
    text = json.dumps({"error": message}, indent=4, ensure_ascii=False)
    return text.encode("utf-8", "replace")


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
        return f'{{\n    "outputs": {inner}\n}}'.encode()
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
    return f'{{\n    "predictions": {start}{separator.join(lines)}{end}\n}}'.encode()


def _object(members, depth):
    space = "\n" + "    " * (depth + 1)
    inner = ",".join(f"{space}{json.dumps(name)}: {text}" for name, text in members.items())
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
    if kind in "iub":
        return [json.dumps(value) for value in values.tolist()]
    if kind in "OS":
        return [_string(value, name) for value in values.tolist()]
    raise invalid(f"Failed to write JSON value for tensor type: {values.dtype.name}")


def _string(value, name):
    if name.endswith("_bytes"):
        return json.dumps({"b64": base64.b64encode(value).decode()})
    return json.dumps(value.decode("utf-8", "replace"), ensure_ascii=False)


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
