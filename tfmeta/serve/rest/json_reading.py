"""JSON of requests, read as TF Serving reads it: by the rules of RapidJSON 1.1.0.

Python's parser does the reading. RapidJSON also takes `Inf`, `-NaN`, a lone low surrogate and
anything behind the document.
"""

import heapq
import io
import json
import re

from tfmeta.serve.errors import ServingError, invalid, too_large
from tfmeta.serve.rest.json_mistakes import mistake_of, number_mistake, outside_strings, too_big
from tfmeta.serve.rest.json_nesting import read_deep
from tfmeta.serve.rest.json_text import debug_string

# A list or object of a few bytes takes a hundred of memory, and is work for the interpreter.
_BYTES_A_CONTAINER = 8
_WHITE = "\ufeff \t\r\n"
_SURROGATE = "The surrogate pair in string is invalid."
# What RapidJSON takes and Python does not: values, and escapes inside of strings.
_OTHER_VALUES = re.compile(r"-NaN|-?Inf(?!inity)")
_ESCAPES = re.compile(r"\\(?:u[dD]([89abAB]|[c-fC-F])[0-9a-fA-F]{2}|.)", re.DOTALL)
_LOW_HALF = re.compile(r"\\u[dD][c-fC-F][0-9a-fA-F]{2}")


def check_containers(body, most_bytes):
    """Refuses a body of more lists and objects than one of `most_bytes` may have.

    Args:
        body: bytes of JSON.
        most_bytes: largest body.

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
    """The object that a body holds.

    Example:

        >>> parse(b'{"instances": [1, -NaN]}')
        {'instances': [1, nan]}

    Args:
        body: bytes of JSON; what is not UTF-8 in strings is kept by surrogate escapes.

    Raises:
        ServingError: INVALID_ARGUMENT with RapidJSON's words for what is wrong, and where.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    source = _Source(body)
    if not source.text or source.text[0] in "]},:":
        raise source.error(("The document is empty.", 0), 0)
    value = mistake = None
    try:
        value, end = _decoded(source.text)
        mistake = number_mistake(source.text, end)
    except json.JSONDecodeError as error:
        mistake = mistake_of(error, source.text)
        end = mistake[1]
    except RecursionError:
        raise invalid("JSON Parse error: Terminate parsing due to nesting.") from None
    except ValueError:  # a number of thousands of digits, which `too_big` finds
        end = len(source.text)
    mistake = too_big(source.text, end) or mistake
    error = source.error(mistake, end)
    if error:
        raise error
    if not isinstance(value, dict):
        raise invalid(f"JSON Value: {debug_string(value)} Is not object")
    return value


class _Source:
    """The text of a body, with what only RapidJSON takes replaced by what Python takes too.

    Attributes:
        text: what Python parses.
    """

    def __init__(self, body):
        self._whole = body.decode("utf-8", "surrogateescape")
        self._start = len(self._whole) - len(self._whole.lstrip(_WHITE))
        self.text = self._original = self._whole[self._start :]
        self._surrogate = None  # where the first high half without a low one is
        if any(part in self.text for part in ("\\ud", "\\uD", "Inf", "-NaN")):
            written, last = io.StringIO(), 0
            for start, end, new in self._replacements():
                written.write(self._original[last:start])
                written.write(new)
                last = end
            written.write(self._original[last:])
            self.text = written.getvalue()

    def error(self, mistake, end) -> ServingError | None:
        """The error of the first mistake, with its offset in bytes of the body.

        Args:
            mistake: (words, position in `text`), or None.
            end: where reading ended, in `text`.
        """
        words, position = mistake or (None, end)
        position = self._position(position)
        if self._surrogate is not None and self._surrogate < position:
            words, position = _SURROGATE, self._surrogate
        if words is None:
            return None
        before = self._whole[: self._start + position]
        offset = len(before.encode("utf-8", "surrogateescape"))
        return invalid(f"JSON Parse error: {words} at offset: {offset}")

    def _position(self, position):
        """Where a position of `text` was before replacements."""
        if self.text is self._original:
            return position
        grown = 0
        for start, end, new in self._replacements():
            if start + grown + len(new) > position:
                break
            grown += len(new) - (end - start)
        return position - grown

    def _replacements(self):
        """(start, end, new text), ascending; memory for one at a time."""
        return heapq.merge(self._low_surrogates(), self._other_values())

    def _low_surrogates(self):
        """Lone low halves become the bytes that RapidJSON makes of them."""
        position = 0
        while found := _ESCAPES.search(self._original, position):
            position = found.end()
            if found[1] and found[1] in "89abAB":
                low = _LOW_HALF.match(self._original, position)
                position = low.end() if low else position
                if not low and self._surrogate is None:
                    self._surrogate = found.start()
            elif found[1]:
                code = int(found[0][2:], 16)
                raw = chr(code).encode("utf-8", "surrogatepass")
                yield found.start(), found.end(), raw.decode("utf-8", "surrogateescape")

    def _other_values(self):
        """Values under names that Python does not know."""
        for start, end in outside_strings(_OTHER_VALUES, self._original):
            found = self._original[start:end]
            yield start, end, "NaN" if found == "-NaN" else found + "inity"


def _first_of_each(members):
    """An object that keeps the first of members of one name, as RapidJSON's FindMember does."""
    value = dict(members)
    if len(value) < len(members):
        value = {}
        for name, item in members:
            value.setdefault(name, item)
    return value


def _decoded(text):
    try:
        return _DECODER.raw_decode(text)
    except RecursionError:
        return read_deep(_DECODER, text)


_DECODER = json.JSONDecoder(object_pairs_hook=_first_of_each)
