"""Every learner beside stock Keras: the full product of learners and features of Keras.

    python -m benchmarks.keras_contract [--features=...] [--learners=...] [--missing] [--write]

The features are those of `tests/keras_contract/*_features.py`; the quick tests run some of them
for some learners. `--write` keeps a row in results/keras_contract.json as soon as it is measured,
beside rows of earlier calls: the learner's value, Keras' value and their distance, or the sentence
by which the learner refuses, and whether the pair was traced or, as most are, ran eagerly.
`--missing` leaves out pairs that have a row there.
"""

import dataclasses
import json
import time

import keras
import tensorflow as tf
from absl import app, flags

from benchmarks.turns import ROOT
from tests.conformance import registry
from tests.keras_contract import features

_FEATURES = flags.DEFINE_list("features", [], "Names or their beginnings; none: all.")
_LEARNERS = flags.DEFINE_list("learners", [], "Of the registry; none: all.")
_MISSING = flags.DEFINE_bool("missing", False, "Only pairs without a stored row.")
_WRITE = flags.DEFINE_bool("write", False, "Store results/keras_contract.json.")

RESULT = ROOT / "results" / "keras_contract.json"


def stored():
    """Rows of earlier calls by (learner, feature)."""
    if not RESULT.exists():
        return {}
    rows = json.loads(RESULT.read_text("utf-8"))["rows"]
    return {(row["learner"], row["feature"]): row for row in rows}


def keep(rows):
    """Writes rows, sorted, with what they were measured by."""
    found = {
        "command": "python -m benchmarks.keras_contract --write",
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "rows": [rows[key] for key in sorted(rows)],
    }
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main(arguments):
    """Runs the pairs and prints a line each."""
    del arguments
    rows, differ = stored(), []
    for name, chosen in features.load().items():
        if _FEATURES.value and not any(name.startswith(f) for f in _FEATURES.value):
            continue
        for learner, entry in registry.LEARNERS.items():
            wanted = not _LEARNERS.value or learner in _LEARNERS.value
            known = _MISSING.value and (learner, name) in rows
            if not wanted or known or not chosen.applies(entry):
                continue
            start = time.process_time()
            row = features.run(chosen, entry)
            seconds = time.process_time() - start
            said = row.failed or row.refused
            shown = f"{row.difference:.1e}" if said is None else said
            print(f"{learner:24s} {name:44s} {seconds:5.1f} s  {shown}", flush=True)
            if not features.agrees(chosen, entry, row):
                differ.append(f"{learner}, {name}")
                print("    differs from Keras", flush=True)
            traced = features.is_traced(name, learner)
            pair = {"learner": learner, "feature": name, "traced": traced}
            rows[learner, name] = {**pair, **dataclasses.asdict(row)}
            if _WRITE.value:
                keep(rows)
            keras.backend.clear_session()
    if differ:
        raise SystemExit(f"These differ from Keras: {'; '.join(differ)}.")


if __name__ == "__main__":
    app.run(main)
