"""The signatures of a serialised MetaGraphDef, read without its graph.

The graph is nearly all of the message, and parsing it holds the interpreter's lock.
"""

from tensorflow.core.protobuf import meta_graph_pb2

_SIGNATURES = 5  # MetaGraphDef.signature_def
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def signature_definitions(text) -> dict:
    """`{name: SignatureDef}` of a serialised MetaGraphDef.

    Args:
        text: bytes of the message.
    """
    kept, start = [], 0
    while start < len(text):
        tag, after = _varint(text, start)
        kind = tag & 7
        if kind == _VARINT:
            _, end = _varint(text, after)
        elif kind == _LENGTH:
            length, after = _varint(text, after)
            end = after + length
        else:
            end = after + {_FIXED64: 8, _FIXED32: 4}[kind]
        if tag >> 3 == _SIGNATURES:
            kept.append(text[start:end])
        start = end
    return dict(meta_graph_pb2.MetaGraphDef.FromString(b"".join(kept)).signature_def.items())


def _varint(text, start):
    """(the number that begins at a byte, where the next field begins)."""
    value = shift = 0
    while True:
        byte = text[start]
        value |= (byte & 127) << shift
        start += 1
        if byte < 128:
            return value, start
        shift += 7
