"""Whoever asks gets the learner's own answer: gRPC, REST, the C API, eight clients at once."""

import collections
import concurrent.futures
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from tfmeta_client import Client

TASKS, CLIENTS, MOST_STEPS, WAYS = 200, 8, 5, 3
# The learner computes tasks side by side and the graph one alone: float32 sums in another order.
# This network's own distance between float32 and float64 is 1e-6 of the largest logit; 3 times
# that per inner step is allowed.
NEAR = 3e-6 * (MOST_STEPS + 1)


def loaded(name):
    """A module of the export's tests, which drive the C API."""
    path = Path(__file__).parents[1] / "saved_model" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"parity_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random_tasks():
    """Requests of mixed ways, shots, queries and steps; of a few shapes, as each is traced."""
    draw = np.random.default_rng(7)
    for number in range(TASKS):
        ways = int(draw.integers(1, WAYS + 1))
        shots, queries = ((1, 4), (2, 1), (3, 6))[number % 3]
        support = ways * shots
        yield {
            "support_inputs": draw.uniform(size=(support, 8, 8, 1)).astype("float32"),
            "support_targets": (np.arange(support) % ways).astype("int32"),
            "query_inputs": draw.uniform(size=(queries, 8, 8, 1)).astype("float32"),
            "inner_steps": np.array(draw.integers(0, MOST_STEPS + 1), "int32"),
            "inner_rate_scale": np.array(1.0, "float32"),
        }


@pytest.fixture(scope="module")
def requests():
    return list(random_tasks())


def answers(target, requests):
    """Logits of each request, by eight clients at once."""
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        clients = [Client(target, "letters") for _ in range(CLIENTS)]
        asked = [
            pool.submit(clients[number % CLIENTS].ask, "adapt_and_predict_with", request)
            for number, request in enumerate(requests)
        ]
        found = [future.result()["logits"] for future in asked]
        for client in clients:
            client.close()
    return found


@pytest.fixture(scope="module")
def over_grpc(server, requests):
    return answers(server.grpc_address, requests)


def test_the_answers_are_the_learners(learners, requests, over_grpc):
    names = ("support_inputs", "support_targets", "query_inputs")
    alike = collections.defaultdict(list)
    for number, request in enumerate(requests):
        alike[tuple(request[name].shape for name in names)].append(number)
    for numbers in alike.values():
        tasks = tuple(np.stack([requests[number][name] for number in numbers]) for name in names)
        curves, _ = learners["letters"].adaptation_curve(tasks, inner_steps=MOST_STEPS)
        for number, curve in zip(numbers, np.asarray(curves), strict=True):
            expected = curve[requests[number]["inner_steps"]]
            near = NEAR * np.abs(expected).max()
            np.testing.assert_allclose(over_grpc[number], expected, rtol=0, atol=near)


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_the_same_request_has_the_same_bits_again(server, requests, over_grpc, protocol):
    again = answers(server.grpc_address if protocol == "grpc" else server.rest_url, requests)
    for first, second in zip(over_grpc, again, strict=True):
        np.testing.assert_array_equal(first, second)


def test_the_c_api_gives_the_same_bits(export_dirs, requests, over_grpc):
    path = export_dirs["letters"] / "1"
    process = loaded("conftest").start(path)
    for request, logits in zip(requests, over_grpc, strict=True):
        answer = process("adapt_and_predict_with", request)
        np.testing.assert_array_equal(answer["logits"], logits)
    process.close()
