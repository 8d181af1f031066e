"""`python -m tfmeta.serve --demo` with the shipped model, as a newcomer starts it."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pytest

from benchmarks import demo_tensors

ROOT = pathlib.Path(__file__).parents[3]
MODEL = ROOT / "tfmeta" / "serve" / "demo" / "model"

without_model = pytest.mark.skipif(
    not MODEL.exists(), reason="no shipped model (python -m benchmarks.demo_model puts it there)"
)
without_node = pytest.mark.skipif(shutil.which("node") is None, reason="no `node` on the PATH")


def command(*flags):
    return [sys.executable, "-m", "tfmeta.serve", "--demo", *flags]


def options():
    return {"cwd": ROOT, "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "text": True}


@pytest.fixture(scope="module")
def url():
    """The page's address, as the command prints it."""
    process = subprocess.Popen(
        command("--port=0", "--rest_api_port=0", "--log_level=ERROR"),
        stdout=subprocess.PIPE,
        **options(),
    )
    for line in process.stdout:
        if line.startswith("draw at "):
            break
    else:
        pytest.fail("the command ended before it served the page")
    yield line.removeprefix("draw at ").strip()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def probabilities(url, supports, query, steps=5):
    """What the page would show, asked as it asks."""
    inputs = {
        "support_inputs": supports.tolist(),
        "support_targets": list(range(len(supports))),
        "query_inputs": [query.tolist()],
        "inner_steps": steps,
        "inner_rate_scale": 1.0,
    }
    body = json.dumps({"signature_name": "adapt_and_predict_with", "inputs": inputs}).encode()
    with urllib.request.urlopen(f"{url}v1/models/omniglot:predict", body, 60) as answer:
        logits = np.asarray(json.load(answer)["outputs"]["logits"][0][: len(supports)])
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


@without_model
def test_one_command_serves_page_and_model(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert "One drawing of each is enough" in answer.read().decode()
    with urllib.request.urlopen(f"{url}v1/models/omniglot", timeout=60) as answer:
        assert json.load(answer)["model_version_status"][0]["state"] == "AVAILABLE"


@without_model
@without_node
@pytest.mark.parametrize("ways", [2, 3, 5])
def test_the_model_recognises_the_pages_own_examples(url, ways):
    tasks = zip(*demo_tensors.of_examples(ways, range(20)), strict=True)
    right = [
        int(probabilities(url, supports, query).argmax() == label)
        for supports, query, label in tasks
    ]
    assert np.mean(right) >= 0.9


@without_model
def test_a_newcomer_sees_the_right_answer_to_an_example(chromium, url):
    from browser import DemoPage

    page = DemoPage(chromium, url)
    page.one("#example").click()
    page.until(lambda: len(page.all("#curve circle")) == 3 * 11, "the whole curve")

    truth = page.text("#timing").removesuffix(".")[-1]

    assert page.winner() == truth
    assert page.shares()[truth] > 50
    assert page.complaints() == []


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--model_name=other", "--model_name"),
        ("--model_config_file=models.config", "--model_config_file"),
    ],
)
def test_the_demo_refuses_flags_that_its_page_would_not_follow(flag, said):
    done = subprocess.run(command(flag), capture_output=True, timeout=60, **options())
    assert done.returncode == 2
    assert f"Received: {said}" in done.stderr
