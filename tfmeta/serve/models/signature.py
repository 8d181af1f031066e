"""One signature of a loaded model: which tensors it takes and gives."""

import numpy as np
import tensorflow as tf

from tfmeta.serve.errors import invalid
from tfmeta.serve.models.tensor_protos import to_array, type_name

MOST_DEFAULT_BYTES = 2**30  # defaults come from the model, not from a client


class Signature:
    """A signature with its tensors looked up once.

    Args:
        definition: `SignatureDef`.
        session: the `NativeSession` that it was loaded into.

    Attributes:
        inputs: `{name: DataType}`, by name.
    """

    def __init__(self, definition, session):
        self.inputs = {name: definition.inputs[name].dtype for name in sorted(definition.inputs)}
        self._tensors = {name: info.name for name, info in definition.inputs.items()}
        self._feeds = _ports(definition.inputs, session)
        self._fetches = _ports(definition.outputs, session)
        self._dtypes = {name: tf.dtypes.as_dtype(dtype) for name, dtype in self.inputs.items()}
        self._defaults = {
            name: to_array(proto, name, MOST_DEFAULT_BYTES)
            for name, proto in definition.defaults.items()
        }

    def check_names(self, names):
        """Refuses inputs that are missing or too many, and names them."""
        sent, known = set(names), set(self.inputs)
        if len(sent) > len(known) or (len(sent) < len(known) and not self._defaults):
            raise invalid(
                f"input size does not match signature: {len(sent)}!={len(known)} "
                f"len({_set(sent)}) != len({_set(known)}). Sent extra: {_set(sent - known)}. "
                f"Missing but required: {_set(known - sent)}."
            )
        for name in self.inputs:
            if name not in sent and name not in self._defaults:
                raise invalid(
                    f"Signature input alias: {name}(feed name: {self._tensors[name]}) not "
                    "found in request and no default value provided. Inputs expected to be in "
                    f"the request {_set(sent)}, or default input alias set: "
                    f"{','.join(sorted(self._defaults))}"
                )
        if sent - known:
            raise invalid(
                "Inputs contains invalid name. Used request inputs: "
                f"{','.join(sorted(sent & known))}, request input: {','.join(sorted(sent))}"
            )

    def fetches(self, output_filter=()) -> dict:
        """The tensors to fetch: `{name: Port}`, by name."""
        for position, name in enumerate(output_filter):
            if name not in self._fetches:
                raise invalid(
                    f"output tensor alias not found in signature: {name} Outputs expected to be "
                    f"in the set {_set(self._fetches)}."
                )
            if name in output_filter[:position]:
                raise invalid(f"duplicate output tensor alias: {name}")
        chosen = {name: self._fetches[name] for name in output_filter or sorted(self._fetches)}
        if not chosen or None in chosen.values():
            raise invalid("Must specify at least one target to fetch or execute.")
        return chosen

    def feeds(self, inputs) -> list:
        """The tensors to feed: list of (`Port`, array), of the types that the graph takes."""
        fed = []
        for position, (name, dtype) in enumerate(self._dtypes.items()):
            value = inputs[name] if name in inputs else self._defaults[name]
            given = value.dtype if isinstance(value, np.ndarray | np.generic) else None
            if given != (np.dtype(object) if dtype == tf.string else dtype.as_numpy_dtype):
                shown = type_name(tf.dtypes.as_dtype(given)) if given is not None else type(value)
                raise invalid(
                    f"Expects arg[{position}] to be {type_name(dtype)} but {shown} is provided "
                    f"(input {name})"
                )
            fed.append((self._feeds[name], value))
        return fed


def _ports(infos, session):
    """`{name: Port}`; None where the graph has no such tensor (an initialiser's output)."""
    return {name: session.port(info.name) for name, info in infos.items()}


def _set(names):
    return "{" + ",".join(sorted(names)) + "}"
