"""Exports of earlier versions of tfmeta, with what they answered: later versions must serve them.

    python -m tests.export.kept_exports        # keeps this version's, before a release

A folder a version under `kept/`, in it a folder a model: its version directory `1/` and
`answers.npz`, arrays named "signature/inputs/name" and "signature/outputs/name".
"""

import collections
import sys
import tempfile
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "kept"
MODELS = sorted(path.parent for path in FOLDER.glob("*/*/answers.npz"))
STEPS = {"inner_steps": np.array(5, np.int32), "inner_rate_scale": np.array(0.5, np.float32)}


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
    support = {name: value for name, value in request.items() if name.startswith("support_")}
    query = {name: value for name, value in request.items() if name.startswith("query_")}
    adapted = model("adapt", support)
    vector = {name: adapted[name] for name in ("adapted_weights", "weights_fingerprint")}
    requests = {
        "serving_default": request,
        "adapt_and_predict": request,
        "adapt_and_predict_with": {**request, **STEPS},
        "adapt_and_predict_tasks": {name: value[np.newaxis] for name, value in request.items()},
        "adapt": support,
        "predict_adapted": {**vector, **query},
        "predict": query,
    }
    found = {}
    for signature, inputs in requests.items():
        answer = model(signature, inputs)
        assert answer.code == 0, answer.message
        found[signature] = (inputs, answer.outputs)
    return found


def keep() -> None:
    """Writes this version's exports and their answers."""
    sys.path.insert(0, str(Path(__file__).parent))
    import conftest
    import example_servables as examples

    import tfmeta
    import tfmeta.export

    for name in ("classification", "regression"):
        folder = FOLDER / tfmeta.__version__ / name
        servable = getattr(examples, name)()
        with tempfile.TemporaryDirectory() as temporary:
            path = tfmeta.export.export_servable(servable, temporary)
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
