"""What the PyTorch server and its client share: a method's name and arrays as bytes.

Without TensorFlow or PyTorch: each of the two has an interpreter of its own.
"""

import io

import numpy as np

METHOD = "/peer/AdaptAndPredict"


def pack(arrays: dict) -> bytes:
    """Arrays by name as bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def unpack(message: bytes) -> dict:
    """The inverse of `pack`."""
    with np.load(io.BytesIO(message)) as arrays:
        return dict(arrays)
