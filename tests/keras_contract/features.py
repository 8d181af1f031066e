"""What of Keras is compared for every learner: a table that tests and a script run over.

A feature is a function of a registry's entry that gives two arrays: what the learner gives, and
what stock Keras (or arithmetic by hand) gives. A module named `*_features.py` in this folder adds
features; `benchmarks.keras_contract` runs each over every learner and stores the largest distance.

The product is too large to trace every pair of: pairs of `TRACED`, one or more a feature, are
compiled as a user's are, the others run eagerly (`eagerly.py`).

Example:
    @feature("loss: sum", applies=lambda entry: not entry.samples)
    def summed(entry):
        return learner_value, keras_value
"""

import contextlib
import dataclasses
import importlib
import pathlib
import re
from collections.abc import Callable

import numpy as np

from tests.conformance import registry
from tests.keras_contract.eagerly import eagerly

FEATURES = {}
TRACED = {
    ("layers: noise is silent", "meta_sgd"),
    ("layers: inductive answers without leaks", "anil"),
    ("loss: by class", "reptile"),
    ("loss: wrapped function", "mt_net"),
    ("loss: by name", "maml_plus_plus"),
    ("loss: sum", "imaml"),
    ("loss: own function", "gradient_combination"),
    ("loss: label smoothing", "proto_maml"),
    ("loss: focal", "alfa"),
    ("loss: ignored class", "first_order_maml"),
    ("loss: ignored support examples", "cavia"),
    ("weights: queries, in the loss", "platipus"),
    ("weights: queries, in the meta-gradient", "maml"),
    ("weights: support, in the meta-gradient", "prototypical_network"),
    ("weights: tasks, in the meta-gradient", "bfa"),
    ("weights: classes, in the step of fit", "fine_tuning"),
    ("weights: loss_weights", "carrying_reptile"),
    ("metrics: accuracy, F1, AUC of all queries", "matching_network"),
    ("metrics: weighted", "nearest_neighbor"),
}


@dataclasses.dataclass(frozen=True)
class Feature:
    """One feature of Keras.

    Attributes:
        name: "subject: what", unique.
        compare: function of a `registry.Learner` to (value, Keras' value), two arrays or lists of
            arrays of equal shapes.
        applies: function of a `registry.Learner` to whether the learner has the feature at all.
        refuses: function of a `registry.Learner` to None, or to a pattern of the sentence by which
            the learner must refuse the feature.
        tolerance: of the largest distance, relative to the largest value of Keras or to 1.
    """

    name: str
    compare: Callable
    applies: Callable = lambda entry: True
    refuses: Callable = lambda entry: None
    tolerance: float = 1e-5


@dataclasses.dataclass(frozen=True)
class Row:
    """What a feature gave for a learner.

    Attributes:
        value: the learner's number furthest from Keras'; None where the learner refuses.
        keras: Keras' number there.
        difference: the largest distance.
        refused: the sentence of a refusal, or None.
        failed: any other error than a refusal, which is a fault of the learner, or None.
    """

    value: float | None
    keras: float | None
    difference: float | None
    refused: str | None = None
    failed: str | None = None


def feature(name, **options):
    """Decorator that adds a function to `FEATURES`."""

    def add(compare):
        if name in FEATURES:
            raise ValueError(f"A feature's name must be new. Received: {name!r}.")
        FEATURES[name] = Feature(name, compare, **options)
        return compare

    return add


def load():
    """Imports every `*_features.py` of this folder and returns the table."""
    for path in sorted(pathlib.Path(__file__).parent.glob("*_features.py")):
        importlib.import_module(f"{__package__}.{path.stem}")
    return FEATURES


def is_traced(name: str, learner: str) -> bool:
    """Whether a pair of a feature and a learner is compiled, not run eagerly."""
    return (name, learner) in TRACED


def run(chosen: Feature, entry: registry.Learner) -> Row:
    """Compares one feature for one learner; a ValueError is a refusal, another error a fault."""
    traced = is_traced(chosen.name, entry.name)
    try:
        with contextlib.nullcontext() if traced else eagerly():
            found, expected = chosen.compare(entry)
    except ValueError as error:
        return Row(None, None, None, str(error).splitlines()[0])
    except Exception as error:
        return Row(None, None, None, failed=f"{type(error).__name__}: {error}".splitlines()[0])
    found, expected = (_flat(part) for part in (found, expected))
    if found.shape != expected.shape:
        return Row(
            None, None, None, failed=f"{found.size} numbers, where Keras has {expected.size}"
        )
    distance = np.abs(found - expected)
    worst = int(np.argmax(distance))
    return Row(float(found[worst]), float(expected[worst]), float(distance[worst]))


def _flat(part):
    parts = part if isinstance(part, (list, tuple)) else [part]
    return np.concatenate([np.ravel(np.asarray(each, dtype="float64")) for each in parts])


def check(name: str, learner: str) -> Row:
    """Asserts that a learner of the registry agrees, or refuses the feature as it must."""
    entry = registry.LEARNERS[learner]
    row = run(load()[name], entry)
    assert agrees(load()[name], entry, row), f"{learner}, {name}: {row}"
    return row


def agrees(chosen: Feature, entry: registry.Learner, row: Row) -> bool:
    """Whether a row is within the feature's tolerance, or the refusal that the feature expects."""
    said = chosen.refuses(entry)
    if said is not None:
        return row.refused is not None and re.search(said, row.refused) is not None
    if row.refused is not None:
        return False
    limit = chosen.tolerance * max(1.0, abs(row.keras or 0.0))
    return row.failed is None and row.difference <= limit
