"""Files whose slow tests are a run of their own, `python -m pytest -m matrix`: some still fail."""

import pathlib

import pytest

HERE = pathlib.Path(__file__).parent
FILES = {
    "test_adapted_model.py",
    "test_constraints.py",
    "test_distribution.py",
    "test_masks.py",
    "test_noise.py",
    "test_outer_optimizer.py",
    "test_randomness.py",
}


def pytest_collection_modifyitems(items):
    """What is slow in `FILES` is part of the matrix; one of each kind stays among the quick."""
    for item in items:
        named = item.path.parent == HERE and item.path.name in FILES
        if named and item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.matrix)
