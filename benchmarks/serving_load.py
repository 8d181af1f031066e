"""Load on the embedded server: 1 to 64 clients, memory over 20,000 requests, and too many clients.

    python -m benchmarks.serving_load [--locust_python=PYTHON] [--write]

The clients are Locust's (`serving_users`), in a process of their own on the same cores. Three
parts: requests a second and latency with 1, 4, 16 and 64 clients of gRPC and of REST (Omniglot's
network, 5-way 1-shot, 5 inner steps, 5 queries); resident memory of a server of sinusoids after
2,000 and after 20,000 requests of mixed sizes, good and bad; and 64 clients against room for 6
requests, which must be refused with RESOURCE_EXHAUSTED and served again afterwards. `--write`
stores results/serving_load.json and results/serving_load.csv.
"""

import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from absl import app, flags

from benchmarks import report, serving_process
from benchmarks.serving_models import export_omniglot, export_sinusoid
from benchmarks.turns import ROOT

_SECONDS = flags.DEFINE_integer("seconds", 20, "Length of each part of the first kind.", 1)
_REQUESTS = flags.DEFINE_integer("memory_requests", 20_000, "Requests of the memory's part.")
_LOCUST = flags.DEFINE_string("locust_python", sys.executable, "Interpreter with Locust and gRPC.")
_WRITE = flags.DEFINE_bool("write", False, "Store the results.")

CLIENTS = (1, 4, 16, 64)
EARLY = 2000  # requests after which memory has settled
GOOD = ("OK", "200")


def load(kind, host, messages, clients, *, seconds=None, count=None) -> dict:
    """Lets Locust's clients ask until the time or the count is over.

    Args:
        kind: "GrpcUser" or "RestUser".
        host: as that user needs it.
        messages: list of bytes.
        clients: how many at once.
        seconds: how long.
        count: how many requests.
    """
    with tempfile.TemporaryDirectory() as folder:
        for number, message in enumerate(messages):
            (pathlib.Path(folder) / f"{number:04d}").write_bytes(message)
        limits = {"REQUESTS": str(count)} if count else {}
        done = subprocess.run(
            [
                *(_LOCUST.value, "-m", "locust", "-f", "benchmarks/serving_users.py", kind),
                *("--headless", "--json", "--skip-log-setup", f"--host={host}"),
                *(f"--users={clients}", f"--spawn-rate={clients}", "--stop-timeout=60"),
                *([f"--run-time={seconds}s"] if seconds else []),
            ],
            env={**os.environ, "MESSAGES": folder, **limits},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            check=True,
            timeout=1800,
        )
    return {"clients": clients, **summary(json.loads(done.stdout))}


def summary(lines) -> dict:
    """Requests a second, percentiles of the answered ones, and how each ended.

    Args:
        lines: Locust's statistics, one for each way in which requests ended.
    """
    good = next((line for line in lines if line["name"] in GOOD), None)
    found = {"codes": {line["name"]: line["num_requests"] for line in lines}}
    if good:
        wall = good["last_request_timestamp"] - good["start_time"]
        times = sorted((float(time), n) for time, n in good["response_times"].items())
        milliseconds = np.repeat([time for time, _ in times], [n for _, n in times])
        found = {
            "requests_per_second": round(good["num_requests"] / wall, 1),
            "milliseconds": {
                f"p{q}": round(float(np.percentile(milliseconds, q)), 1) for q in (50, 95, 99)
            },
            **found,
        }
    return found


def more_and_more_clients(folder) -> dict:
    """The first part: a list of rows for each protocol."""
    export_omniglot(folder)
    server = serving_process.ServerProcess(folder)
    draw = np.random.default_rng(0)
    inputs = [serving_process.good_inputs(draw) for _ in range(8)]
    protocols = {
        "gRPC": ("GrpcUser", server.address, [_grpc(server, each) for each in inputs]),
        "REST": ("RestUser", f"http://127.0.0.1:{server.rest_port}", [_rest(i) for i in inputs]),
    }
    load(*protocols["gRPC"], 2, seconds=2)
    rows = {
        name: [load(*how, clients, seconds=_SECONDS.value) for clients in CLIENTS]
        for name, how in protocols.items()
    }
    server.stop()
    return rows


def _grpc(server, inputs) -> bytes:
    return server.request(inputs, "adapt_and_predict").SerializeToString()


def _rest(inputs) -> bytes:
    values = {name: value.tolist() for name, value in inputs.items()}
    return json.dumps({"signature_name": "adapt_and_predict", "inputs": values}).encode()


def sinusoid_messages(server) -> list:
    """Requests of mixed sizes, of which some break a rule."""
    draw = np.random.default_rng(0)
    messages = []
    for number in range(200):
        support, queries = draw.integers(1, 40), draw.integers(1, 100)
        x = draw.uniform(-5, 5, (support + queries, 1)).astype(np.float32)
        if number % 20 == 0:
            x[0] = np.nan
        inputs = {
            "support_inputs": x[:support],
            "support_targets": np.sin(x[:support]),
            "query_inputs": x[support:],
        }
        messages.append(server.request(inputs, "adapt_and_predict").SerializeToString())
    return messages


def memory(folder) -> dict:
    """The second part."""
    export_sinusoid(folder)
    server = serving_process.ServerProcess(folder)
    messages = sinusoid_messages(server)
    found = {"after_start_mib": server.resident_mib}
    codes = {}
    for upto in (EARLY, _REQUESTS.value):
        done = found.get("requests", 0)
        part = load("GrpcUser", server.address, messages, 4, count=upto - done)
        codes = {code: codes.get(code, 0) + n for code, n in part["codes"].items()}
        found |= {"requests": upto, f"after_{upto}_mib": server.resident_mib}
    server.stop()
    grown = found[f"after_{_REQUESTS.value}_mib"] / found[f"after_{EARLY}_mib"] - 1
    return {**found, "growth": round(grown, 4), "codes_of_last_part": codes}


def too_many(folder) -> dict:
    """The third part."""
    server = serving_process.ServerProcess(
        folder, "--max_concurrent_requests=2", "--max_queued_requests=4"
    )
    draw = np.random.default_rng(0)
    how = ("GrpcUser", server.address, [_grpc(server, serving_process.good_inputs(draw))])
    overload = load(*how, 64, seconds=5)
    afterwards = load(*how, 1, seconds=2)
    server.stop()
    return {"overload": overload, "afterwards": afterwards}


def write(found) -> None:
    """Stores the results."""
    path = ROOT / "results" / "serving_load.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        columns = ["protocol", "clients", "requests_per_second", "p50_ms", "p95_ms", "p99_ms"]
        writer.writerow([*columns, "errors"])
        for protocol, rows in found["protocols"].items():
            for row in rows:
                errors = sum(n for code, n in row["codes"].items() if code not in GOOD)
                rates = row["requests_per_second"], *row["milliseconds"].values()
                writer.writerow([protocol, row["clients"], *rates, errors])


def main(_):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        before = os.getloadavg()
        found = {
            "command": report.command("benchmarks.serving_load", ["--write"]),
            "machine": report.machine(),
            "load_average_before": [round(value, 2) for value in before],
            "protocols": more_and_more_clients(folder / "omniglot"),
            "memory": memory(folder / "sinusoid"),
            **too_many(folder / "omniglot"),
        }
    print(json.dumps(found, indent=1))
    if _WRITE.value:
        write(found)


if __name__ == "__main__":
    app.run(main)
