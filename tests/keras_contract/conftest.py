"""Learners against features of Keras, a run of its own: `python -m pytest -m matrix`."""

import pathlib

import pytest

HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items):
    """What is slow here is part of the matrix; one of each kind stays among the quick tests."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.matrix)
