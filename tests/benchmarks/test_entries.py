"""Registrations of the benchmark point to what exists."""

import ast
import importlib.util
import pathlib

import numpy as np
import pytest

from benchmarks.entries import ALGORITHMS, PROCESSES
from benchmarks.workloads import WORKLOADS, changed

# What a meta-step must be compared with, whatever the algorithm.
ALWAYS = {"pytorch_loop", "torch_func_vmap", "jax_vmap", "jax_lax_map", "tfmeta"}
PAIRS = [(name, algorithm) for name, c in PROCESSES.items() for algorithm in c.algorithms]


@pytest.mark.parametrize(("name", "algorithm"), PAIRS)
def test_a_contestant_names_a_function_of_its_module(name, algorithm):
    contestant = PROCESSES[name]
    # Read, not imported: PyTorch and JAX may live in other environments.
    spec = importlib.util.find_spec(contestant.module_of(algorithm))
    body = ast.parse(pathlib.Path(spec.origin).read_text()).body
    functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    arguments = [argument.arg for argument in functions[contestant.function].args.args]
    assert arguments[0] == "workload"
    assert set(contestant.options) <= set(arguments)


@pytest.mark.parametrize("name", WORKLOADS)
def test_frameworks_meet_in_every_workload(name):
    taking_part = {c for c, entry in PROCESSES.items() if entry.takes_part(WORKLOADS[name])}
    assert taking_part >= ALWAYS
    assert WORKLOADS[name].algorithm.name in ALGORITHMS


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_has_the_tasks_that_it_says(name):
    workload = changed(WORKLOADS[name], {"tasks": 1})
    problem = workload.problem
    support_x, support_y, query_x, query_y = problem.batch()
    ways = getattr(problem, "ways", 1)
    assert support_x.shape[:2] == (1, ways * problem.shots)
    assert query_x.shape[:2] == (1, ways * problem.queries)
    assert len(support_y[0]) == len(support_x[0])
    assert len(query_y[0]) == len(query_x[0])
    # The same numbers whatever the dtype.
    np.testing.assert_array_equal(support_x, np.float32(support_x))


def test_changes_reach_the_problem_and_the_algorithm():
    workload = changed(
        WORKLOADS["omniglot_5way_1shot"], {"filters": 8, "inner_steps": 3, "dtype": "float64"}
    )
    assert workload.problem.filters == 8
    assert workload.algorithm.inner_steps == 3
    assert workload.dtype == "float64"


def test_an_unknown_change_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"inner_steps.*Received: 'inner_step'"):
        changed(WORKLOADS["sinusoid_1step"], {"inner_step": 2})
