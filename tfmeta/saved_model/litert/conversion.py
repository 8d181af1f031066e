"""TensorFlow's converter, with builtin operations only, and its complaint in one sentence."""

import re
import tempfile

import tensorflow as tf

from tfmeta.saved_model.litert.replay import operations_of
from tfmeta.saved_model.litert.stderr import captured

_MISSING = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")
_NEEDED = re.compile(r"(?:TF Select|Custom) ops: ([\w, ]+)")
_ADVICE = "Replace that layer, or export a SavedModel (format='saved_model')."


def converted(module, functions, originals) -> bytes:
    """Converts concrete functions into one LiteRT file of builtin operations.

    Args:
        module: `tf.Module` that holds the variables that the functions read.
        functions: `{signature: concrete function}`.
        originals: concrete functions in which a missing operation is looked up, for its layer.

    Raises:
        ValueError: naming the operations that LiteRT lacks, and their layers.
    """
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(functions))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        with captured() as text:
            try:
                return converter.convert()
            except Exception as error:  # The class of the converter's errors is private.
                refused = f"{error}\n{text()}"
    missing = set(_MISSING.findall(refused))
    for names in _NEEDED.findall(refused):
        missing.update(name.strip() for name in names.split(","))
    raise ValueError(_refusal(sorted(missing), refused, originals))


def _refusal(missing, refused, originals):
    if not missing:
        return (
            "A LiteRT file is made by TensorFlow's converter. Received: a network that it "
            f"refuses, with: {refused[:2000]}. {_ADVICE}"
        )
    layers: dict[str, str] = {}
    for function in originals:
        for operation in operations_of(function.graph):
            layers.setdefault(operation.type, _layer(operation.name))
    found = [f"{name} (in {layers[name]})" if layers.get(name) else name for name in missing]
    return (
        "A LiteRT file must consist of LiteRT's builtin operations. Received: "
        f"{', '.join(found)}. {_ADVICE}"
    )


def _layer(name) -> str:
    """The layer that made an operation, by the scopes of its name: "sequential/lrn"."""
    scopes = name.split("/")[:-1]
    return "/".join(scope for scope in scopes if not scope.startswith(("gradient", "while")))
