"""`python -m tfmeta.serve`, as a process."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
from serving_clients import Client, predict_request, wait_until

from tfmeta.serve import ModelConfig, Server, ServerOptions

ROOT = pathlib.Path(__file__).parents[2]
X = {"x": np.float32([1.0])}
FULL = "/dev/full" if pathlib.Path("/dev/full").exists() else os.devnull
BUSY = re.compile(r"^tfmeta_serve_requests_running [1-9]", re.MULTILINE)
READY = re.compile(r"serving (.+): gRPC (\S+), REST (\S+)")


class Process:
    """A server of its own."""

    def __init__(self, *flags, stderr=subprocess.DEVNULL, environment=None):
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "tfmeta.serve", *flags],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={
                **os.environ,
                "TF_NUM_INTRAOP_THREADS": "1",
                # Python keeps what a log did not take until it exits, unless it is told not to.
                "PYTHONUNBUFFERED": "",
                **(environment or {}),
            },
        )

    def ready(self):
        """(names, gRPC address, REST URL) of the line that it prints."""
        return READY.fullmatch(self.popen.stdout.readline().strip()).groups()

    def end(self, number):
        self.popen.send_signal(number)
        return self.popen.wait(timeout=60)


@pytest.fixture
def run():
    started = []

    def begin(*flags, **options):
        started.append(Process(*flags, **options))
        return started[-1]

    yield begin
    for process in started:
        if process.popen.poll() is None:
            process.popen.kill()
        process.popen.wait()
        process.popen.stdout.close()


def test_killed_in_the_middle_of_requests_it_serves_again_and_drains_on_sigterm(
    run, base_path, half_plus_two
):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flags = (
        f"--model_base_path={base_path(half_plus_two)}",
        "--model_name=half",
        f"--port={port}",
        "--rest_api_port=0",
    )
    first = run(*flags)
    names, address, url = first.ready()
    assert (names, address) == ("half", f"127.0.0.1:{port}")
    assert url.startswith("http://127.0.0.1:")
    with Client(address) as client:
        client.predict("half", X)
        endless = predict_request("half", {"rounds": np.int64(10**9)}, "count")
        calls = [client.prediction.Predict.future(endless, timeout=60) for _ in range(3)]
        wait_until(lambda: BUSY.search(metrics(url)))
        first.end(signal.SIGKILL)
        assert {call.code() for call in calls} == {grpc.StatusCode.UNAVAILABLE}

        with open(FULL, "w") as full:  # a log that cannot be written is no reason to fail
            second = run(*flags, stderr=full)
            _, _, url = second.ready()
        wait_until(lambda: answers(client))
        long = predict_request("half", {"rounds": np.int64(100_000)}, "count")
        call = client.prediction.Predict.future(long, timeout=60)
        wait_until(lambda: BUSY.search(metrics(url)))
        assert second.end(signal.SIGTERM) == 0
        assert call.result().model_spec.version.value == 1


def test_tf_servings_files_and_flags_are_obeyed_and_a_stop_does_not_wait_for_ever(
    run, base_path, half_plus_two, tmp_path
):
    config, monitoring = tmp_path / "models.config", tmp_path / "monitoring.config"
    text = (
        f'model_config_list {{ config {{ name: "NAME" base_path: "{base_path(half_plus_two)}" '
        'model_platform: "tensorflow" } }'
    )
    config.write_text(text.replace("NAME", "first"))
    monitoring.write_text('prometheus_config { enable: true path: "/numbers" }')
    with open(tmp_path / "log", "w") as log:
        process = run(
            f"--model_config_file={config}",
            "--model_config_file_poll_wait_seconds=0.1",
            f"--monitoring_config_file={monitoring}",
            f"--grpc_socket_path={tmp_path / 'socket'}",
            "--grpc_channel_arguments=grpc.max_connection_age_ms=100000,grpc.lb_policy_name=x",
            "--rest_api_num_threads=4",
            "--tensorflow_session_parallelism=1",
            "--port=0",
            "--rest_api_port=0",
            "--shutdown_seconds=0.2",
            stderr=log,
        )
    names, address, url = process.ready()
    assert names == "first"
    with Client(f"unix:{tmp_path / 'socket'}") as client:  # tensorflow_model_server_test.py:705
        assert client.predict("first", X)[0]["y"] == 2.5
    with pytest.raises(urllib.error.HTTPError):
        metrics(url)
    config.write_text(text.replace("NAME", "half"))
    with Client(address) as client:
        wait_until(lambda: answers(client))
        request = predict_request("half", {"rounds": np.int64(10**12)}, "count")
        call = client.prediction.Predict.future(request, timeout=100)
        wait_until(lambda: BUSY.search(metrics(url, "/numbers")))
        begin = time.monotonic()
        assert process.end(signal.SIGTERM) == 1
        assert time.monotonic() - begin < 30
        assert call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    lines = (tmp_path / "log").read_text().splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    said = [each["flag"] for each in events if each["event"] == "flag_without_effect"]
    assert said == ["rest_api_num_threads"]
    assert [each["models"] for each in events if each["event"] == "reload"] == [["half"]]


def test_a_second_signal_ends_a_server_that_still_waits(run, base_path, half_plus_two):
    process = run(
        f"--model_base_path={base_path(half_plus_two)}",
        "--model_name=half",
        "--port=0",
        "--rest_api_port=0",
        "--shutdown_seconds=1000",
    )
    _, address, url = process.ready()
    with Client(address) as client:
        request = predict_request("half", {"rounds": np.int64(10**12)}, "count")
        call = client.prediction.Predict.future(request, timeout=100)
        wait_until(lambda: BUSY.search(metrics(url)))
        process.popen.send_signal(signal.SIGTERM)
        wait_until(lambda: not answers(client))
        assert process.end(signal.SIGTERM) == -signal.SIGTERM
        assert call.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        (
            """
import os, signal, sys, time
from tfmeta.serve import __main__ as command, command_flags
from absl import app
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run behind others
command.import_tensorflow = lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(60))
command_flags.define_flags()
app.run(command.main, ["serve", "--model_base_path=."])
""",
            130,
            ["SIGINT while starting: this ends", "Stopped by SIGINT."],
        ),
        (
            """
import os, signal, time
from tfmeta.process.interrupts import Interrupts
from tfmeta.serve.stop_signal import StopSignal
stopped = StopSignal()
with Interrupts("loading the models", "the server stops once they are loaded"):
    os.kill(os.getpid(), signal.SIGTERM)
stopped.wait()
""",
            0,
            ["SIGTERM while loading the models: the server stops once they are loaded."],
        ),
    ],
    ids=["imports", "loading"],
)
def test_a_signal_before_the_server_serves_is_answered_in_words(code, status, words):
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    assert all(each in done.stderr for each in words)
    assert "Traceback" not in done.stderr


def metrics(url, path="/monitoring/prometheus/metrics"):
    with urllib.request.urlopen(url + path) as response:
        return response.read().decode()


def answers(client):
    try:
        return client.predict("half", X, wait_for_ready=True)[1] == 1
    except grpc.RpcError:
        return False


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ((), 2, "A server needs --model_base_path"),
        (("--model_base_path=/nonexistent/model",), 1, "Could not find base path"),
        (("--model_base_path=.", "stray"), 2, "Arguments must be flags"),
        (("--model_base_path=.", "--address=0.0.0.0"), 2, "needs TLS and an API key"),
        (("--model_base_path=.", "--max_queued_requests=-1"), 2, "must be at least 0"),
        (("--model_base_path=.", "--port=99999"), 2, "must be a port below 65536"),
        (("--model_config_file=nonexistent",), 2, "must name a file that can be read"),
        (("--model_base_path=.", "--tls_key_file=setup.py"), 2, "TLS needs a certificate and"),
        (("--model_base_path=.", "--api_key_file=/dev/stdin"), 2, "(--api_key_file) must be one"),
        (("--model_base_path=.", "--tensorflow_intra_op_parallelism=-5"), 2, "at least 0"),
        (("--model_base_path=.", "--enable_batching"), 2, "--enable_batching is not obeyed by"),
        (("--model_base_pth=.",), 1, "Unknown command line flag"),
    ],
)
def test_a_wrong_start_is_explained(flags, code, message):
    done = subprocess.run(
        [sys.executable, "-m", "tfmeta.serve", "--port=0", "--rest_api_port=0", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        input="a key\nof two lines ключ",
    )
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_explained(start, served, base_path, half_plus_two):
    folder = base_path(half_plus_two)
    with pytest.raises(OSError, match="The gRPC port must be free"):
        start(folder, "half", port=served.grpc_port)
    with pytest.raises(OSError, match="The REST port must be free"):
        start(folder, "half", rest_api_port=served.rest_port)


def test_localhost_is_one_address(start, served, base_path, half_plus_two):
    """Else gRPC starts on [::1] alone, beside the server that has 127.0.0.1."""
    with pytest.raises(OSError, match="The gRPC port must be free"):
        start(base_path(half_plus_two), "half", port=served.grpc_port, address="localhost")


@pytest.mark.parametrize("address", ["198.51.100.7", "no-such-host.invalid"])
def test_an_address_of_elsewhere_is_no_port_in_use(address):
    options = ServerOptions(address=address, port=0, rest_api_port=0, allow_insecure_address=True)
    with pytest.raises(OSError, match="--address must be one of this machine"):
        Server([ModelConfig("half", "nowhere")], options)


def test_both_ports_are_held_before_the_models_are_loaded():
    options = ServerOptions(port=0, rest_api_port=0)
    server = Server([ModelConfig("half", "nowhere")], options)
    try:
        for port in (server.grpc_port, server.rest_port):
            with socket.socket() as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with pytest.raises(OSError, match="in use"):
                    other.bind(("127.0.0.1", port))
    finally:
        server.stop()


def test_the_address_to_open_is_one_that_a_browser_can_open():
    from tfmeta.serve.__main__ import _reachable

    assert _reachable("https://0.0.0.0:28501") == "https://localhost:28501"
    assert _reachable("http://[::]:1") == "http://localhost:1"
    assert _reachable("http://127.0.0.1:1") == "http://127.0.0.1:1"


def test_help_lists_tf_servings_flags():
    done = subprocess.run(
        [sys.executable, "-m", "tfmeta.serve", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    for flag in ("model_base_path", "model_name", "port", "rest_api_port", "model_config_file"):
        assert f"--{flag}" in done.stdout
    assert "In production use TF Serving" in done.stdout


def test_without_the_extra_it_says_what_to_install(tmp_path):
    blocked = tmp_path / "sitecustomize.py"
    blocked.write_text(
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'uvicorn' else "
        "find(name, *rest)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "tfmeta.serve", "--model_base_path=."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 2
    assert "pip install 'tfmeta[serving]'" in done.stderr
