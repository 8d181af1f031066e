"""The clients that are scripts, run as a person would run them: curl and JavaScript."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

CLIENTS = Path(__file__).parents[2] / "export" / "clients"
REQUEST = json.loads((CLIENTS / "curl" / "request.json").read_text(encoding="utf-8"))["inputs"]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def expected(learners):
    """What the learner itself predicts for the request of the examples."""
    arrays = [
        np.array(REQUEST[name], "float32")[np.newaxis]
        for name in ("support_inputs", "support_targets", "query_inputs")
    ]
    return learners["sinusoid"].predict(tuple(arrays), verbose=0)[0]


@needs_curl
def test_curl_prints_the_learners_predictions(server, expected):
    done = run(CLIENTS / "curl" / "adapt_and_predict.sh", server.rest_url)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout)["outputs"]["predictions"], expected, **CLOSE)


@needs_curl
def test_curl_fails_with_the_servers_words(server):
    done = run(CLIENTS / "curl" / "adapt_and_predict.sh", server.rest_url, "nobody")
    assert done.returncode == 22
    assert "Servable not found for request: Latest(nobody)" in json.loads(done.stdout)["error"]


@needs_node
def test_javascript_prints_the_learners_predictions_also_when_adapted_once(server, expected):
    done = run("node", CLIENTS / "javascript" / "example.mjs", server.rest_url, "sinusoid")
    assert done.returncode == 0, done.stderr
    lines = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    np.testing.assert_allclose(json.loads(lines["predictions"]), expected, **CLOSE)
    np.testing.assert_allclose(json.loads(lines["adapted once"]), expected, **CLOSE)
    assert len(json.loads(lines["support loss by inner step"])) == 3


@needs_node
def test_javascript_fails_with_the_servers_words(server):
    done = run("node", CLIENTS / "javascript" / "example.mjs", server.rest_url, "nobody")
    assert done.returncode == 1
    assert "error 404: Servable not found for request: Latest(nobody)" in done.stderr


@needs_node
def test_javascript_says_where_nobody_answers(tmp_path):
    script = tmp_path / "ask.mjs"
    script.write_text(
        f"""import {{ Client }} from "{(CLIENTS / "javascript" / "tfmeta_client.mjs").as_uri()}";
        const client = new Client("http://127.0.0.1:9", "sinusoid", {{ timeout: 300 }});
        const say = (error) => console.log(error.status, error.message);
        await client.ask("predict", {{}}).catch(say);
        """
    )
    done = run("node", script)
    assert done.stdout.startswith("0 No answer from http://127.0.0.1:9/v1/models/sinusoid")
