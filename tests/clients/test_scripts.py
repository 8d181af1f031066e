"""The clients that are scripts, run as a person would run them: curl and JavaScript."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from faulty_server import GOOD, lose, redirect, refuse, stall, trickle_body

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


@needs_curl
def test_curl_prints_one_answer_however_often_it_asks(faulty):
    url, seen = faulty(refuse(503, "not ready"), GOOD)
    done = run(CLIENTS / "curl" / "adapt_and_predict.sh", url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(GOOD)
    assert len(seen) == 2


@pytest.fixture
def ask(tmp_path):
    """`ask(url)` -> what the JavaScript client makes of a server's answer, on a line."""

    def of(url, timeout=2000):
        script = tmp_path / "ask.mjs"
        client = (CLIENTS / "javascript" / "tfmeta_client.mjs").as_uri()
        script.write_text(
            f"""import {{ Client, ServingError }} from "{client}";
            const client = new Client("{url}", "m", {{ timeout: {timeout} }});
            try {{
              const {{ y, z }} = await client.ask("s", {{ x: [1] }});
              console.log("answer", ...y, ...z);
            }} catch (error) {{
              console.log(error instanceof ServingError, error.status, error.message);
            }}
            """
        )
        return run("node", script).stdout.strip()

    return of


@needs_node
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (stall, "true 504 No answer in time."),
        (trickle_body, "true 504 No answer in time."),
        (b"<html>a proxy's page</html>", "true 200 The answer is not JSON: <html>a proxy's page"),
        (b"null", "true 200 The answer has no outputs: null"),
        (b"{}", "true 200 The answer has no outputs: {}"),
        (redirect, "true 307"),
        (refuse(413, "A request must be at most 9 bytes."), "true 413 A request must be"),
        (refuse(429, "A request must be at most 9 bytes."), "true 429 A request must be"),
    ],
)
def test_what_javascript_cannot_read_is_its_own_error_and_is_not_asked_again(
    ask, faulty, fault, said
):
    url, seen = faulty(fault)
    assert ask(url, timeout=1000 if "504" in said else 2000).startswith(said)
    assert len(seen) == 1


@needs_node
def test_javascript_asks_again_for_an_answer_that_was_lost(ask, faulty):
    url, seen = faulty(lose, lose, GOOD)
    assert ask(url) == "answer 1 2"
    assert len(seen) == 3


@needs_node
def test_javascript_reads_numbers_that_are_not_finite(ask, faulty):
    answer = b'{"outputs": {"y": [NaN, 1.5], "z": [-Infinity, Infinity], "NaN \\" NaN": []}}'
    url, _ = faulty(answer)
    assert ask(url) == "answer NaN 1.5 -Infinity Infinity"


@needs_node
def test_javascript_refuses_a_key_that_no_header_can_carry(tmp_path):
    script = tmp_path / "key.mjs"
    client = (CLIENTS / "javascript" / "tfmeta_client.mjs").as_uri()
    script.write_text(
        f"""import {{ Client }} from "{client}";
        for (const apiKey of ["ключ", "a\\nb"]) {{
          try {{ new Client("http://127.0.0.1:9", "m", {{ apiKey }}); }}
          catch (error) {{ console.log(error.message); }}
        }}
        """
    )
    assert run("node", script).stdout.count("printable ASCII") == 2
