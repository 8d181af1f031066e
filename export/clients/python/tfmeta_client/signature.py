"""What the signatures of a model take and give, as its metadata says."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfmeta_client.errors import InvalidRequest


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """dtype and shape of an input or output: -1 where a size is free, None where all are."""

    dtype: np.dtype
    shape: tuple | None

    def holds(self, shape) -> bool:
        """Whether an array may have a shape."""
        if self.shape is None:
            return True
        same = map(lambda size, found: size in (-1, found), self.shape, shape)
        return len(shape) == len(self.shape) and all(same)


@dataclasses.dataclass(frozen=True)
class Signature:
    """Inputs and outputs by name."""

    inputs: dict
    outputs: dict

    def cast(self, inputs: dict) -> dict:
        """The inputs as arrays of the signature's dtypes.

        Raises:
            InvalidRequest: for another set of inputs, or numbers that would be cut off.
        """
        if set(inputs) != set(self.inputs):
            raise InvalidRequest(
                "INVALID_ARGUMENT",
                f"The signature takes {', '.join(sorted(self.inputs))}. "
                f"Received: {', '.join(sorted(inputs)) or 'nothing'}.",
            )
        return {name: _cast(name, value, self.inputs[name].dtype) for name, value in inputs.items()}


def _cast(name, value, dtype):
    array = np.asarray(value)
    whole = np.issubdtype(array.dtype, np.integer) and np.issubdtype(dtype, np.integer)
    if whole and array.size:
        limits = np.iinfo(dtype)
        fits = limits.min <= array.min() and array.max() <= limits.max
    else:
        fits = not array.size or np.can_cast(array.dtype, dtype, "same_kind")
    if not fits:
        raise InvalidRequest(
            "INVALID_ARGUMENT",
            f"{name} must be {dtype}. Received: {array.dtype}, which that does not hold. "
            f"Convert it, e.g. by numpy.asarray({name}, {dtype.name!r}).",
        )
    return array.astype(dtype, copy=False)
