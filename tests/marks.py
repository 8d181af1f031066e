"""Which cases of a product of two or more lists run with the quick and the slow tests."""

import pytest


def marked(cases, quick, slow=None):
    """Cases for `pytest.mark.parametrize`: quick ones as they are, the others with a mark.

    Args:
        cases: values, or tuples of values.
        quick: cases that the quick tests run.
        slow: cases that are marked slow, and the others are marked product. None: all but the
            quick ones are slow.
    """
    found = []
    for case in cases:
        mark = pytest.mark.slow if slow is None or case in slow else pytest.mark.product
        values = case if isinstance(case, tuple) else (case,)
        found.append(case if case in quick else pytest.param(*values, marks=mark))
    return found
