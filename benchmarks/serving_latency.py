"""Latency of one adapt-and-predict request: the embedded server, the bare session, PyTorch.

    python -m benchmarks.serving_latency [--pytorch_python=PYTHON] [--write]

Omniglot's network, 5-way 1-shot, 5 inner steps, 5 queries, one client. The three take turns on the
same requests, after their answers were found to agree: the graph called in a session of this
process; gRPC to `python -m tfmeta.serve`; and gRPC to a PyTorch server that fine-tunes by autograd.
Adapting once and predicting often (`adapt`, then `predict_adapted`) is timed beside. `--write`
stores results/serving_latency.json.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import peer_messages, report, serving_process
from benchmarks.serving_models import INNER_RATE, INNER_STEPS, export_omniglot
from benchmarks.turns import ROOT
from tfmeta.serve.models.served_version import ServedVersion

_ROUNDS = flags.DEFINE_integer("rounds", 30, "Turns of each contestant.", 1)
_REQUESTS = flags.DEFINE_integer("requests", 10, "Requests a turn.", 1)
_THREADS = flags.DEFINE_integer("threads", 2, "Threads of each contestant.", 1)
_INTRA_OP = flags.DEFINE_integer("intra_op", 1, "TensorFlow's, for one operation; of the graph.", 0)
_PYTORCH = flags.DEFINE_string("pytorch_python", sys.executable, "Interpreter with PyTorch.")
_WRITE = flags.DEFINE_bool("write", False, "Store results/serving_latency.json.")


class Peer:
    """The PyTorch server as a process."""

    def __init__(self, weights, folder):
        np.savez(Path(folder) / "weights.npz", **weights)
        arguments = (str(Path(folder) / "weights.npz"), INNER_STEPS, INNER_RATE, _THREADS.value)
        self._process = subprocess.Popen(
            [_PYTORCH.value, "-m", "benchmarks.serving_pytorch", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._channel = grpc.insecure_channel(self._process.stdout.readline().strip())
        self._call = self._channel.unary_unary(peer_messages.METHOD)

    def __call__(self, inputs):
        return peer_messages.unpack(self._call(peer_messages.pack(inputs)))["predictions"]

    def close(self):
        """Ends the process."""
        self._channel.close()
        self._process.stdin.close()
        self._process.wait()


def contestants(folder, server, weights) -> dict:
    """Each way of asking, by name: a function of the inputs to the predictions."""
    bare = ServedVersion(folder / "model" / "1", _INTRA_OP.value, _THREADS.value)

    def in_session(inputs):
        return bare.run("adapt_and_predict", inputs)["predictions"]

    def over_grpc(inputs):
        answer = server.ask(server.request(inputs, "adapt_and_predict"))
        return tf.make_ndarray(answer.outputs["predictions"])

    ways = {"session": in_session, "grpc": over_grpc}
    try:
        ways["pytorch"] = Peer(weights, folder)
    except (OSError, ValueError):
        print("PyTorch is left out: its interpreter did not start.", file=sys.stderr)
    return ways


def adapted_once(server, inputs):
    """(adapt, predict_adapted): functions without arguments that ask the server."""
    support = {name: value for name, value in inputs.items() if name.startswith("support_")}
    adapt = server.request(support, "adapt")
    outputs = server.ask(adapt).outputs
    vector = {
        name: tf.make_ndarray(outputs[name]) for name in ("adapted_weights", "weights_fingerprint")
    }
    query = {"query_inputs": inputs["query_inputs"]}
    predict = server.request({**vector, **query}, "predict_adapted")
    return lambda _: server.ask(adapt), lambda _: server.ask(predict)


def take_turns(ways, inputs) -> dict:
    """Seconds of each request, by name: [rounds, requests]; a turn's first is not counted."""
    seconds = {name: [] for name in ways}
    for round_ in range(_ROUNDS.value):
        names = list(ways)[:: 1 if round_ % 2 else -1]
        for name in names:
            ways[name](inputs)
            turn = []
            for _ in range(_REQUESTS.value):
                began = time.perf_counter()
                ways[name](inputs)
                turn.append(time.perf_counter() - began)
            seconds[name].append(turn)
    return seconds


def summary(seconds, base) -> dict:
    """Percentiles in milliseconds, and the ratio of medians to `base`, round by round."""
    ratios = np.median(seconds, axis=1) / np.median(base, axis=1)
    p50, p95, p99 = (float(np.percentile(seconds, q) * 1e3) for q in (50, 95, 99))
    return {
        "milliseconds": {"p50": round(p50, 2), "p95": round(p95, 2), "p99": round(p99, 2)},
        "ratio_to_session": {
            "median": round(float(np.median(ratios)), 3),
            "quartiles": [round(float(q), 3) for q in np.percentile(ratios, [25, 75])],
        },
    }


def main(_):
    # A process has one pool for the threads of operations: it is that of the session below too.
    tf.config.threading.set_intra_op_parallelism_threads(_INTRA_OP.value)
    tf.config.threading.set_inter_op_parallelism_threads(_THREADS.value)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = export_omniglot(folder / "model")
        server = serving_process.ServerProcess(
            folder / "model",
            f"--tensorflow_intra_op_parallelism={_INTRA_OP.value}",
            f"--tensorflow_inter_op_parallelism={_THREADS.value}",
        )
        inputs = serving_process.good_inputs(np.random.default_rng(0))
        ways = contestants(folder, server, weights)
        answers = {name: ask(inputs) for name, ask in ways.items()}
        for name, answer in answers.items():
            np.testing.assert_allclose(answer, answers["session"], atol=1e-3, err_msg=name)
        ways["grpc adapt"], ways["grpc predict_adapted"] = adapted_once(server, inputs)
        before = os.getloadavg()
        seconds = take_turns(ways, inputs)
        if "pytorch" in ways:
            ways["pytorch"].close()
        server.stop()
    found = {
        "command": report.command("benchmarks.serving_latency", []),
        "machine": report.machine(),
        "load_average_before": [round(value, 2) for value in before],
        "workload": "Omniglot conv 64, 5-way 1-shot, 5 inner steps, 5 queries, one client",
        "threads": _THREADS.value,
        "intra_op_threads": _INTRA_OP.value,
        "requests": _ROUNDS.value * _REQUESTS.value,
        "ways": {name: summary(values, seconds["session"]) for name, values in seconds.items()},
    }
    print(json.dumps(found, indent=1))
    if _WRITE.value:
        path = ROOT / "results" / "serving_latency.json"
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
