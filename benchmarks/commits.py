"""The meta-step of two checkouts of tfmeta, in turns on this machine: what a change costs.

    git worktree add ../before COMMIT
    python -m benchmarks.commits --before=../before --write

Each checkout is a process of its own, with its own `benchmarks.contestant`. They take turns, so a
machine whose speed drifts slows both. The ratio of the median step times (after / before) stands
beside its 95 % interval, from drawing rounds with replacement, and beside the median times that a
new process takes to build its step and run it once. Sources are compiled to bytecode before, as
pip does where it installs.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from absl import app, flags

from benchmarks import report

_BEFORE = flags.DEFINE_string("before", None, "The other checkout.", required=True)
_WORKLOADS = flags.DEFINE_list(
    "workloads",
    ["sinusoid_1step", "omniglot_5way_1shot", "mini_imagenet_5way_1shot"],
    "Names of `benchmarks.workloads`.",
)
_CONTESTANT = flags.DEFINE_string(
    "contestant", "tfmeta_vectorized", "Name of `benchmarks.entries`, the same for both."
)
_THREADS = flags.DEFINE_integer("threads", 2, "Threads of a process.", 1)
_ROUNDS = flags.DEFINE_integer("rounds", 30, "Turns of each checkout.", 2)
_SECONDS = flags.DEFINE_float("seconds", 1.0, "Of a turn, about.", 0.01)
_STARTS = flags.DEFINE_integer("starts", 5, "Processes of each checkout whose start is timed.", 1)
_WRITE = flags.DEFINE_bool("write", False, "Write results/benchmarks/commits.json.")
MOST = 1.03  # of the ratio, at the upper end of its interval
_HERE = pathlib.Path(__file__).parents[1]


class Side:
    """The contestant of one checkout, in a process of its own.

    Attributes:
        seconds_to_the_first_step: that building the step and running it once took.
    """

    def __init__(self, checkout: pathlib.Path, workload: str, bytecode: str):
        command = [sys.executable, "-m", "benchmarks.contestant", _CONTESTANT.value, workload]
        self._process = subprocess.Popen(
            [*command, str(_THREADS.value), "{}"],
            cwd=checkout,
            env={
                **os.environ,
                "PYTHONPATH": str(checkout),
                "PYTHONPYCACHEPREFIX": bytecode,
                "PYTHONDONTWRITEBYTECODE": "",
                "TF_CPP_MIN_LOG_LEVEL": "3",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        built = self.ask(command="build")["seconds"]
        self.seconds_to_the_first_step = built + self.steps(1)[0]

    def ask(self, **request) -> dict:
        """The answer to a request of `benchmarks.contestant`."""
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The contestant ended with {self._process.wait()}.")
        return json.loads(line)

    def steps(self, count: int) -> list[float]:
        """Seconds of each of `count` steps."""
        return self.ask(command="steps", count=count)["seconds"]

    def close(self):
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()


def ratio_of_medians(before, after, seed=0) -> dict:
    """Ratio of the medians of rounds (after / before), with its 95 % interval.

    Args:
        before: seconds of a step, one a round.
        after: the same of the other side; a round's turns follow one another.
        seed: of the draws of rounds.
    """
    before, after = np.asarray(before), np.asarray(after)
    draws = np.random.default_rng(seed).integers(len(before), size=(2000, len(before)))
    ratios = np.median(after[draws], axis=1) / np.median(before[draws], axis=1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    ratio = np.median(after) / np.median(before)
    return {
        "ratio": round(float(ratio), 4),
        "interval95": [round(float(v), 4) for v in (low, high)],
    }


def measured(workload: str, bytecode: str) -> dict:
    """The document of one workload; `bytecode` is the folder of compiled sources."""
    checkouts = {"before": pathlib.Path(_BEFORE.value).resolve(), "after": _HERE}
    sides, first = {}, {name: [] for name in checkouts}
    for start in range(-1, _STARTS.value):  # the one before the first compiles sources
        for name, checkout in checkouts.items():
            if name in sides:
                sides[name].close()
            sides[name] = Side(checkout, workload, bytecode)
            if start >= 0:
                first[name].append(sides[name].seconds_to_the_first_step)
    one = min(min(side.steps(3)) for side in sides.values())
    count = max(1, round(_SECONDS.value / one))
    times = {name: [] for name in sides}
    for number in range(_ROUNDS.value):
        order = list(sides) if number % 2 else list(reversed(sides))
        for name in order:
            times[name].append(float(np.median(sides[name].steps(count))))
    for side in sides.values():
        side.close()
    return {
        "steps_a_turn": count,
        "median_ms": {n: round(1e3 * float(np.median(t)), 3) for n, t in times.items()},
        **ratio_of_medians(times["before"], times["after"]),
        "seconds_to_the_first_step": {n: round(float(np.median(s)), 3) for n, s in first.items()},
    }


def main(_):
    results = {}
    with tempfile.TemporaryDirectory() as bytecode:
        for workload in _WORKLOADS.value:
            results[workload] = measured(workload, bytecode)
            print(f"{workload}: {json.dumps(results[workload])}", flush=True)
    failed = [name for name, found in results.items() if found["interval95"][1] > MOST]
    if _WRITE.value:
        document = {
            "command": report.command("benchmarks.commits", sys.argv[1:]),
            "commits": {
                "before": _commit(_BEFORE.value),
                "after": _commit(_HERE),
            },
            "workloads": results,
        }
        path = _HERE / "results" / "benchmarks" / "commits.json"
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if failed:
        print(f"The interval of the ratio reaches beyond {MOST}: {', '.join(failed)}.")
    return int(bool(failed))


def _commit(checkout):
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    app.run(main)
