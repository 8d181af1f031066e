"""Load on the embedded server: 1 to 64 clients, memory over 20,000 requests, and too many clients.

    python -m benchmarks.serving_load [--write]

gRPC clients are coroutines of this one process that send ready bytes, so they cost little beside
the server; each sends its next request when the last is answered. Three parts: requests a second
and latency with 1, 4, 16 and 64 clients (Omniglot's network, 5-way 1-shot, 5 inner steps, 5
queries); resident memory of a server of sinusoids after 2,000 and after 20,000 requests of mixed
sizes, good and bad; and 64 clients against room for 6 requests, which must be refused with
RESOURCE_EXHAUSTED and served again afterwards. `--write` stores results/serving_load.json and
results/serving_load.csv.
"""

import asyncio
import csv
import json
import os
import tempfile
import time
from pathlib import Path

import grpc
import numpy as np
from absl import app, flags

from benchmarks import report, serving_process
from benchmarks.serving_models import export_omniglot, export_sinusoid
from benchmarks.turns import ROOT

_SECONDS = flags.DEFINE_float("seconds", 20.0, "Length of each part of the first kind.")
_REQUESTS = flags.DEFINE_integer("memory_requests", 20_000, "Requests of the memory's part.")
_WRITE = flags.DEFINE_bool("write", False, "Store the results.")

CLIENTS = (1, 4, 16, 64)
EARLY = 2000  # requests after which memory has settled
METHOD = "/tensorflow.serving.PredictionService/Predict"


async def ask(address, messages, clients, *, seconds=None, count=None):
    """Lets clients ask until the time or the count is over.

    Returns:
        `{code name: seconds of each request that ended so}`.
    """
    ended, sent = {}, iter(range(count) if count else iter(int, 1))
    stop = time.perf_counter() + seconds if seconds else None
    options = [("grpc.use_local_subchannel_pool", 1)]

    async def client(number):
        async with grpc.aio.insecure_channel(address, options) as channel:
            call = channel.unary_unary(METHOD)
            for turn in sent:
                if stop and time.perf_counter() > stop:
                    return
                began = time.perf_counter()
                try:
                    await call(messages[(number + turn) % len(messages)], timeout=60)
                    code = "OK"
                except grpc.aio.AioRpcError as error:
                    code = error.code().name
                ended.setdefault(code, []).append(time.perf_counter() - began)

    await asyncio.gather(*(client(number) for number in range(clients)))
    return ended


def summary(ended, wall) -> dict:
    """Requests a second, percentiles of the answered ones, and how each ended."""
    good = np.array(ended.get("OK", [np.nan])) * 1e3
    return {
        "requests_per_second": round(len(ended.get("OK", [])) / wall, 1),
        "milliseconds": {f"p{q}": round(float(np.percentile(good, q)), 1) for q in (50, 95, 99)},
        "codes": {code: len(values) for code, values in sorted(ended.items())},
    }


def timed(server, messages, clients, **limits) -> dict:
    """One part: the summary of so many clients."""
    began = time.perf_counter()
    ended = asyncio.run(ask(server.address, messages, clients, **limits))
    return {"clients": clients, **summary(ended, time.perf_counter() - began)}


def more_and_more_clients(folder) -> list:
    """The first part."""
    export_omniglot(folder)
    server = serving_process.ServerProcess(folder)
    draw = np.random.default_rng(0)
    messages = [
        server.request(serving_process.good_inputs(draw), "adapt_and_predict").SerializeToString()
        for _ in range(8)
    ]
    timed(server, messages, 2, seconds=2)
    rows = [timed(server, messages, clients, seconds=_SECONDS.value) for clients in CLIENTS]
    server.stop()
    return rows


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
        part = timed(server, messages, 4, count=upto - done)
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
    request = server.request(serving_process.good_inputs(draw), "adapt_and_predict")
    overload = timed(server, [request.SerializeToString()], 64, seconds=5)
    afterwards = timed(server, [request.SerializeToString()], 1, seconds=2)
    server.stop()
    return {"overload": overload, "afterwards": afterwards}


def write(found) -> None:
    """Stores the results."""
    path = ROOT / "results" / "serving_load.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["clients", "requests_per_second", "p50_ms", "p95_ms", "p99_ms", "errors"])
        for row in found["clients"]:
            errors = sum(n for code, n in row["codes"].items() if code != "OK")
            writer.writerow(
                [row["clients"], row["requests_per_second"], *row["milliseconds"].values(), errors]
            )


def main(_):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = os.getloadavg()
        found = {
            "command": report.command("benchmarks.serving_load", ["--write"]),
            "machine": report.machine(),
            "load_average_before": [round(value, 2) for value in before],
            "clients": more_and_more_clients(folder / "omniglot"),
            "memory": memory(folder / "sinusoid"),
            **too_many(folder / "omniglot"),
        }
    print(json.dumps(found, indent=1))
    if _WRITE.value:
        write(found)


if __name__ == "__main__":
    app.run(main)
