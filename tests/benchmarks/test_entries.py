"""Registrations of the benchmark point to what exists."""

import ast
import importlib.util
import pathlib

import pytest

from benchmarks.entries import CONTESTANTS


@pytest.mark.parametrize("name", CONTESTANTS)
def test_a_contestant_names_a_function_of_its_module(name):
    contestant = CONTESTANTS[name]
    # Read, not imported: PyTorch and JAX may live in other environments.
    path = pathlib.Path(importlib.util.find_spec(contestant.module).origin)
    functions = [node for node in ast.parse(path.read_text()).body if hasattr(node, "args")]
    assert contestant.build in [function.name for function in functions]
