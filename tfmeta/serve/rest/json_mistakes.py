"""What RapidJSON 1.1.0 says of a mistake in JSON, and where, once Python's parser found one."""

import re

_TOO_BIG = "Number too big to be stored in double."
# Whole strings and what stands between them. All loops are possessive: what only reads on keeps no
# position to come back to, which would take a hundred bytes a character.
_OUTSIDE = re.compile(r'(?:[^"]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+', re.DOTALL)
# Up to the next bracket, or to the end, past strings.
_BRACKETS = re.compile(r'(?:[^"\[\]{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+([\[\]{}]|\Z)', re.DOTALL)
# A number can be too big only with a large exponent or with many digits.
_LARGE_EXPONENT = re.compile(r"[eE]\+?0*+(?:309|3[1-9][0-9]|[4-9][0-9]{2}|[1-9][0-9]{3})")
_LARGE = re.compile(_LARGE_EXPONENT.pattern + r"|(?<![0-9])[0-9]{309}")
_BLOCK = 150  # characters; 309 digits fill a whole block somewhere
_NUMBER = re.compile(r"-?([0-9]++)(?:\.([0-9]++))?+(?:[eE](\+?[0-9]++|-[0-9]++))?+")
_NUMBER_CHARACTERS = frozenset("0123456789+-.eE")
_WORDS = {
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}


def mistake_of(error, text):
    """(RapidJSON's words, position) of what Python's parser stopped at."""
    position = error.pos
    if error.msg.startswith("Illegal trailing comma"):  # Python 3.13 points at the comma
        position += 1 + len(text[position + 1 :]) - len(text[position + 1 :].lstrip(" \t\r\n"))
    if error.msg in ("Expecting value", "Illegal trailing comma before end of array"):
        return "Invalid value.", _end_of_literal(text, position)
    if error.msg == "Invalid control character at":
        if text[position] == "\0":
            return "Missing a closing quotation mark in string.", position
        return "Invalid escape character in string.", position
    if error.msg == "Unterminated string starting at":
        return "Missing a closing quotation mark in string.", len(text)
    if error.msg == "Invalid \\uXXXX escape":
        position = text.rfind("\\", 0, position + 1)
    if error.msg != "Expecting ',' delimiter":
        return _WORDS.get(error.msg, "Invalid value."), position
    return number_mistake(text, position) or (_separator(text, position), position)


def _end_of_literal(text, position):
    """Where RapidJSON stops reading what begins like a value and is none."""
    if text[position : position + 1] == "-":
        position += 1
    for word in ("null", "true", "false", "NaN", "Infinity"):
        if text[position : position + 1] == word[0]:
            while word and text[position : position + 1] == word[0]:
                position, word = position + 1, word[1:]
            break
    return position


def number_mistake(text, position):
    """(words, position) if a number ends at a position only since it goes on wrongly."""
    following = text[position : position + 1]
    if not following or following not in ".eE" or text[position - 1 : position] not in "0123456789":
        return None
    if following == ".":
        return "Miss fraction part in number.", position + 1
    signed = text[position + 1 : position + 2] in ("+", "-")
    return "Miss exponent in number.", position + 1 + signed


def _separator(text, position):
    depth = []
    for found in _BRACKETS.finditer(text, 0, position):
        if found[1] in ("[", "{"):
            depth.append(found[1])
        elif found[1] and depth:
            depth.pop()
    if depth and depth[-1] == "{":
        return "Missing a comma or '}' after an object member."
    return "Missing a comma or ']' after an array element."


def too_big(text, end):
    """(words, position) of the first number before an end that is too big, or None."""
    blocks = range(0, end, _BLOCK)
    long = any(text[block : block + _BLOCK].isdigit() for block in blocks)
    for start, _ in outside_strings(_LARGE if long else _LARGE_EXPONENT, text, end):
        while start and text[start - 1] in _NUMBER_CHARACTERS:
            start -= 1
        found = _NUMBER.match(text, start)
        if found and _is_too_big(*found.groups(default="")):
            return _TOO_BIG, start
    return None


def _is_too_big(whole, fraction, exponent):
    """By RapidJSON's rule, which looks at digits and exponent and not at the value."""
    if len(whole) > 309 or (len(whole) == 309 and float(whole[:308]) >= 1.7976931348623157e307):
        return True
    significant = len(whole) - 1
    if whole == "0":
        significant = len(fraction.lstrip("0")) - len(fraction)  # zeros in front count too
    counted = min(len(fraction), 17 - significant) if significant < 17 else 0
    exponent = exponent.lstrip("+")
    return (
        bool(exponent)
        and exponent[0] != "-"
        and (len(exponent.lstrip("0")) > 9 or int(exponent) > 308 + counted)
    )


def outside_strings(pattern, text, end=None):
    """Yields (start, end) of what matches outside of strings before an end; in linear time."""
    position = whole = 0
    while found := pattern.search(text, position):
        if end is not None and found.start() >= end:
            return
        whole = _OUTSIDE.match(text, whole, found.start()).end()
        if whole == found.start():
            yield found.span()
            position = found.end()
        else:  # inside of the string that begins here
            position = whole = max(_STRING.match(text, whole).end(), whole + 1)
