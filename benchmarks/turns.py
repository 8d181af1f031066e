"""Processes that take turns: one works while the others wait on a pipe."""

import json
import os
import pathlib
import select
import subprocess
import time
from typing import NamedTuple

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
# Thread pools spin for a while after their work (OpenMP up to 0.2 s) before they sleep.
SETTLE_SECONDS = 0.4
# Steps of a turn take about this long together, so that the clock and the pipe do not matter.
TURN_SECONDS = 0.3
MAX_STEPS, MAX_ROUNDS, MIN_ROUNDS = 30, 12, 3
# Longer steps than this need none to bring back caches and threads.
WARM_SECONDS = 2.0


class Stopped(RuntimeError):
    """A contestant ended, or was ended because it took too long."""


class Process:
    """One contestant in an interpreter of its own.

    Args:
        name: of `benchmarks.entries.PROCESSES`.
        workload_name: of `benchmarks.workloads.WORKLOADS`.
        interpreter: path of a Python.
        threads: for its work.
        changes: of the workload's fields.
    """

    def __init__(self, name, workload_name, interpreter, threads, changes=None):
        self.name = name
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])
            ),
        }
        command = [interpreter, "-m", "benchmarks.contestant", name, workload_name, str(threads)]
        self._process = subprocess.Popen(
            [*command, json.dumps(changes or {})],
            bufsize=0,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))[:threads]
            os.sched_setaffinity(self._process.pid, cores)

    def ask(self, command, limit=None, **arguments):
        """Sends a request and waits for the answer, at most `limit` seconds.

        Raises:
            Stopped: if the process has ended, or takes longer (then it is ended).
        """
        request = json.dumps({"command": command, **arguments}) + "\n"
        try:
            self._process.stdin.write(request.encode())
            if not select.select([self._process.stdout], [], [], limit)[0]:
                self._process.kill()
                raise Stopped(f"stopped: {command!r} took more than {limit:g} s")
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer:
            code = self._process.wait()
            raise Stopped(f"ended with code {code} at {command!r}; its own output is above")
        return json.loads(answer)

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Plan(NamedTuple):
    """A contestant's share of the turns: in the first `rounds` rounds, `steps` timed steps each.

    `warm` steps before them are not counted: they bring back caches and threads.
    """

    rounds: int
    steps: int
    warm: int = 1


def plan(step_seconds, budget, settle=None) -> dict:
    """Plans by contestant from the seconds of a step of each, to take about `budget` seconds.

    `settle`: seconds after a turn; None: SETTLE_SECONDS.

    All get the same time, hence those with long steps fewer rounds, and none where three rounds
    would not fit into half of the budget. The first takes part in every round.
    """
    plans = {}
    settle = SETTLE_SECONDS if settle is None else settle
    share = budget / len(step_seconds)
    for index, (name, seconds) in enumerate(step_seconds.items()):
        steps = int(np.clip(TURN_SECONDS / seconds, 1, MAX_STEPS))
        warm = int(seconds < WARM_SECONDS)
        turn = seconds * (steps + warm) + settle
        rounds = int(np.clip(share / turn, 0, MAX_ROUNDS))
        if rounds < MIN_ROUNDS:
            rounds = MIN_ROUNDS if index == 0 or MIN_ROUNDS * turn <= budget / 2 else 0
        most = next(iter(plans.values())).rounds if plans else MAX_ROUNDS
        plans[name] = Plan(min(rounds, most), steps, warm)
    return plans


def take_turns(processes, plans, report=lambda round_, process, answer: None, settle=None):
    """Seconds of each timed step, by contestant: a list [rounds] of lists [steps].

    Every second round goes the other way round, so that a slow drift of the machine meets all
    alike. `settle`: seconds after a turn; None: SETTLE_SECONDS.
    """
    settle = SETTLE_SECONDS if settle is None else settle
    seconds = {process.name: [] for process in processes}
    cpu_seconds = {process.name: [] for process in processes}
    for round_ in range(max(plan.rounds for plan in plans.values())):
        for process in processes if round_ % 2 == 0 else processes[::-1]:
            rounds, steps, warm = plans[process.name]
            if round_ >= rounds:
                continue
            if warm:
                process.ask("steps", count=warm)
            answer = process.ask("steps", count=steps)
            time.sleep(settle)
            seconds[process.name].append(answer["seconds"])
            cpu_seconds[process.name].append(answer["cpu_seconds"] / steps)
            report(round_, process, answer)
    return seconds, cpu_seconds
