"""A new version under load: the longest pause without an answer, and what loading costs.

    python -m benchmarks.serving_swap [--before=CHECKOUT] --write

Four clients in processes of their own (two gRPC, two REST) ask the default signature without a
pause, of a model of sinusoids and of the demo's model, while the version is swapped. The gap of a
swap is the longest interval without an answer, from the poll that sees LOADING to 10 s after the
poll that sees AVAILABLE; the 99th percentile of the latencies of the 30 s before stands beside it.
Garbage collections of the server are noted by `gc.callbacks`. Loading is measured first, without
clients: the process' processor time from the rename of the version to AVAILABLE. `--before` names
another checkout whose server and exports are measured in the same run, turn by turn.
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import report, serving_process
from benchmarks.serving_gaps import summary, swap_figures

_BEFORE = flags.DEFINE_string("before", None, "Another checkout to measure beside this one.")
_SWAPS = flags.DEFINE_integer("swaps", 5, "Swaps of each model.", 1)
_SECONDS = flags.DEFINE_float("seconds_before", 30.0, "Load before a swap, in seconds.", 0.1)
_AFTER = flags.DEFINE_float("seconds_after", 10.0, "Load after a swap, in seconds.", 0.1)
_MODELS = flags.DEFINE_list("models", ["sinusoid", "demo"], "Which of the models.")
_WRITE = flags.DEFINE_bool("write", False, "Write results/serving_swap.json.")

CLIENTS = ("grpc", "rest", "grpc", "rest")
_FLAGS = ("--file_system_poll_wait_seconds=0.2",)
_POLL_SECONDS = 0.02
_PATIENCE_SECONDS = 300
_HERE = pathlib.Path(__file__).parent


def export(model, source, folder):
    """Puts version 1 of a model under `folder`, made by the code of a checkout."""
    if model == "demo":
        shutil.copytree(source / "tfmeta/serve/demo/model", folder)
        return
    code = f"from benchmarks.serving_models import *; export_sinusoid({str(folder)!r})"
    environment = {**os.environ, "PYTHONPATH": str(source)}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=source, check=True)


def default_inputs(model) -> dict:
    """A request of the default signature."""
    draw = np.random.default_rng(0)
    if model == "demo":
        return serving_process.good_inputs(draw, queries=1)
    x = draw.uniform(-5, 5, (20, 1)).astype(np.float32)
    return {"support_inputs": x[:10], "support_targets": np.sin(x[:10]), "query_inputs": x[10:]}


class Trial:
    """A server of one model, by the code of one checkout.

    Args:
        model: "sinusoid" or "demo".
        source: the checkout.
        folder: an empty directory.
    """

    def __init__(self, model, source, folder):
        self._folder, self._inputs = folder, default_inputs(model)
        self._base, self._newest = folder / "model", 1
        self._collections = folder / "collections"
        export(model, source, self._base)
        self.server = serving_process.ServerProcess(
            self._base,
            *_FLAGS,
            program=(str(_HERE / "serving_collections.py"),),
            environment={"PYTHONPATH": str(source), "COLLECTIONS": str(self._collections)},
        )
        assert self.server.predict(self.server.request(self._inputs)) == "OK"

    def load_alone(self) -> float:
        """Processor seconds of the server while a new version loads and nobody asks."""
        begin = self.server.processor_seconds
        self._swap()
        return self.server.processor_seconds - begin

    def swap(self) -> dict:
        """Figures of one swap under load."""
        with self._clients() as outputs:
            time.sleep(_SECONDS.value)
            begin = time.monotonic()
            loading, available = self._swap()
            time.sleep(_AFTER.value + 1)
        answers = [answer for path in outputs for answer in _answers(path)]
        collections = [
            [float(each) for each in line.split()]
            for line in self._collections.read_text().splitlines()
        ]
        longest = max((each for each in collections if each[0] >= begin), default=None, key=_wall)
        return {
            **swap_figures(answers, loading, available, _SECONDS.value, _AFTER.value),
            "longest_collection_ms": round(longest[1], 2) if longest else 0.0,
            "longest_collection_processor_ms": round(longest[2], 2) if longest else 0.0,
        }

    def _swap(self):
        """Publishes a version; gives the times at which it was loading and available."""
        self._newest += 1
        beside = self._base / f".{self._newest}"
        shutil.copytree(self._base / str(self._newest - 1), beside)
        beside.rename(self._base / str(self._newest))
        loading = self._seen(self._newest, ("LOADING", "AVAILABLE"))
        available = self._seen(self._newest, ("AVAILABLE",))
        self._seen(self._newest - 1, ("END",))
        shutil.rmtree(self._base / str(self._newest - 1))
        return loading, available

    def _seen(self, version, states):
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            now = time.monotonic()  # before the call: the state holds from here or from earlier
            if self.server.states().get(version, ("",))[0] in states:
                return now
            if now > end:
                raise TimeoutError(f"version {version} did not become {states}")
            time.sleep(_POLL_SECONDS)

    @contextlib.contextmanager
    def _clients(self):
        request = self._folder / "request"
        request.with_suffix(".grpc").write_bytes(
            self.server.request(self._inputs).SerializeToString()
        )
        values = {name: value.tolist() for name, value in self._inputs.items()}
        request.with_suffix(".rest").write_text(json.dumps({"inputs": values}))
        addresses = {"grpc": self.server.address, "rest": f"127.0.0.1:{self.server.rest_port}"}
        outputs = [self._folder / f"answers_{number}" for number in range(len(CLIENTS))]
        processes = [
            subprocess.Popen(
                [
                    *(sys.executable, str(_HERE / "serving_swap_client.py"), kind),
                    *(addresses[kind], serving_process.NAME),
                    *(str(request.with_suffix(f".{kind}")), str(output)),
                ],
                stdin=subprocess.PIPE,
            )
            for kind, output in zip(CLIENTS, outputs, strict=True)
        ]
        try:
            time.sleep(2)  # interpreters start
            yield outputs
        finally:
            for process in processes:
                process.stdin.close()
            for process in processes:
                process.wait(timeout=90)


def _wall(collection):
    return collection[1]


def _answers(path):
    lines = (line.split() for line in path.read_text().splitlines())
    return [(float(end), float(seconds), code) for end, seconds, code in lines]


def measure(model, sources, folder) -> dict:
    """`{name of a checkout: summary}` of a model; the checkouts take turns."""
    trials = {}
    loads, swaps = {name: [] for name in sources}, {name: [] for name in sources}
    try:
        for name, source in sources.items():
            (folder / name).mkdir(parents=True)
            trials[name] = Trial(model, source, folder / name)
        for _ in range(_SWAPS.value):
            for name, trial in trials.items():
                loads[name].append(trial.load_alone())
        for _ in range(_SWAPS.value):
            for name, trial in trials.items():
                swaps[name].append(trial.swap())
                print(model, name, swaps[name][-1], flush=True)
    finally:
        for trial in trials.values():
            trial.server.stop()
    found = {name: summary(loads[name], swaps[name]) for name in sources}
    if "before" in found:
        pairs = zip(loads["now"], loads["before"], strict=True)
        ratios = [now / before for now, before in pairs]
        found["load_processor_seconds_now_of_before"] = round(float(np.median(ratios)), 3)
    return found


def main(_):
    sources = {"now": _HERE.parent}
    if _BEFORE.value:
        sources["before"] = pathlib.Path(_BEFORE.value).resolve()
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="serving_swap") as folder:
        models = {
            model: measure(model, sources, pathlib.Path(folder) / model) for model in _MODELS.value
        }
    found = {
        "command": "python -m benchmarks.serving_swap "
        + ("--before=CHECKOUT " if _BEFORE.value else "")
        + "--write",
        "machine": report.machine(),
        "load_average_before": [round(value, 2) for value in load],
        "tensorflow": tf.__version__,
        "clients": list(CLIENTS),
        "seconds": {"before": _SECONDS.value, "after": _AFTER.value},
        "models": models,
    }
    print(json.dumps(found, indent=1))
    if _WRITE.value:
        path = report.ROOT / "results" / "serving_swap.json"
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
