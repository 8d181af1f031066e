"""Every feature of Keras; the quick tests run one representative of each kind.

The slow part tries a feature with a learner of each way to answer, and compiled with one;
`benchmarks.keras_contract` stores the pairs of all features and learners.
"""

import pytest

from tests.conformance import registry
from tests.keras_contract import features
from tests.marks import marked

TABLE = features.load()
QUICK = {
    ("weights: queries, in the meta-gradient", "maml"),
    ("weights: support, in the meta-gradient", "prototypical_network"),
    ("loss: ignored class", "first_order_maml"),
    ("metrics: accuracy, F1, AUC of all queries", "matching_network"),
}
# Gradient steps, comparison, samples, a head in closed form.
EVERY_FEATURE = ("maml", "prototypical_network", "bfa", "r2d2")
PAIRS = [
    (name, learner)
    for name, chosen in TABLE.items()
    for learner, entry in registry.LEARNERS.items()
    if chosen.applies(entry)
]


def test_every_feature_is_traced_for_a_learner():
    assert set(TABLE) == {name for name, _ in features.TRACED}
    assert set(PAIRS) >= features.TRACED
    assert QUICK <= features.TRACED


@pytest.mark.parametrize(
    ("name", "learner"),
    marked(PAIRS, QUICK, [p for p in PAIRS if p[1] in EVERY_FEATURE or p in features.TRACED]),
)
def test_a_learner_gives_what_keras_gives_or_refuses(name, learner):
    features.check(name, learner)
