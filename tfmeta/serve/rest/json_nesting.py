"""JSON that is nested deeper than Python's parser goes (about 1,000), read without recursion."""

import json
import re

MOST_LEVELS = 1_000_000  # a level takes a few hundred bytes of memory
_SPACE = re.compile(r"[ \t\n\r]*+")
_END = {"[": "]", "{": "}"}


def read_deep(decoder, text):
    """As `decoder.raw_decode`, at any depth and some ten times slower.

    Args:
        decoder: `json.JSONDecoder` with an `object_pairs_hook`.
        text: JSON, from its first character on.

    Returns:
        (value, where it ends).

    Raises:
        json.JSONDecodeError: with the words of Python's parser.
        RecursionError: beyond `MOST_LEVELS`.
    """
    stack, position = [], 0  # of (opening bracket, items, name of the member that is read)
    while True:
        if len(stack) > MOST_LEVELS:
            raise RecursionError
        position = _after_space(text, position)
        bracket = text[position : position + 1]
        if bracket and bracket in "[{":
            position = _after_space(text, position + 1)
            if text[position : position + 1] != _END[bracket]:
                name, position = _name(text, position) if bracket == "{" else (None, position)
                stack.append((bracket, [], name))
                continue
            value, position = [] if bracket == "[" else {}, position + 1
        else:
            value, position = decoder.raw_decode(text, position)
        while stack:
            bracket, items, name = stack.pop()
            items.append(value if bracket == "[" else (name, value))
            position = _after_space(text, position)
            following = text[position : position + 1]
            if following == ",":
                position = _after_space(text, position + 1)
                name, position = _name(text, position) if bracket == "{" else (None, position)
                stack.append((bracket, items, name))
                break
            if following != _END[bracket]:
                raise json.JSONDecodeError("Expecting ',' delimiter", text, position)
            value = items if bracket == "[" else decoder.object_pairs_hook(items)
            position += 1
        else:
            return value, position


def _name(text, position):
    """(a member's name, where its value begins)."""
    if text[position : position + 1] != '"':
        words = "Expecting property name enclosed in double quotes"
        raise json.JSONDecodeError(words, text, position)
    name, position = json.decoder.scanstring(text, position + 1, True)
    position = _after_space(text, position)
    if text[position : position + 1] != ":":
        raise json.JSONDecodeError("Expecting ':' delimiter", text, position)
    return name, position + 1


def _after_space(text, position):
    return _SPACE.match(text, position).end()
