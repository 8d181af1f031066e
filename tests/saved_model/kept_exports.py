"""Exports of earlier versions of tfmeta, with what they answered: later versions must serve them.

    python tests/saved_model/kept_exports.py        # keeps this version's, before a release

A folder a version under `kept/`, in it a folder a model: its version directory `1/` and
`answers.npz`, arrays named "signature/inputs/name" and "signature/outputs/name".
"""

import collections
import tempfile
from pathlib import Path

import numpy as np
from request_pipe import requests_of_all

FOLDER = Path(__file__).parent / "kept"
MODELS = sorted(path.parent for path in FOLDER.glob("*/*/answers.npz"))


def answers(model: Path) -> dict:
    """`{signature: (inputs, outputs)}` that a kept model once answered."""
    found = collections.defaultdict(lambda: ({}, {}))
    with np.load(model / "answers.npz") as arrays:
        for key, value in arrays.items():
            signature, side, name = key.split("/")
            found[signature][side == "outputs"][name] = value
    return dict(found)


def ask(model, request: dict) -> dict:
    """Asks every signature: `{signature: (inputs, outputs)}`."""
    found = {}
    for signature, inputs in requests_of_all(model, request).items():
        answer = model(signature, inputs)
        assert answer.code == 0, answer.message
        found[signature] = (inputs, answer.outputs)
    return found


def keep() -> None:
    """Writes this version's exports and their answers."""
    import conftest
    import example_servables as examples

    import tfmeta
    import tfmeta.saved_model

    for name in ("classification", "regression"):
        folder = FOLDER / tfmeta.__version__ / name
        servable = getattr(examples, name)()
        with tempfile.TemporaryDirectory() as temporary:
            path = tfmeta.saved_model.export_servable(servable, temporary)
            folder.mkdir(parents=True)
            Path(path).rename(folder / "1")
        process = conftest.start(folder / "1")
        found = ask(process, getattr(examples, f"{name}_request")())
        process.close()
        arrays = {
            f"{signature}/{side}/{key}": value
            for signature, sides in found.items()
            for side, values in zip(("inputs", "outputs"), sides, strict=True)
            for key, value in values.items()
        }
        np.savez_compressed(folder / "answers.npz", **arrays)


if __name__ == "__main__":
    keep()
