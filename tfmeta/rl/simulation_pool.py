"""Processes that simulate side by side, and what is to happen when one of them dies.

gymnasium's `AsyncVectorEnv` has a process for each environment, and a step of MAML has hundreds of
them. Here each process keeps an equal share, and steps it while the others step theirs. A process
is a new interpreter: a fork of a program with TensorFlow's threads may hang, and
`multiprocessing`'s "spawn" imports the program's main module, with TensorFlow, once more in each.
POSIX only.
"""

import contextlib
import itertools
import os
import pickle
import socket
import subprocess
import sys
import weakref
from multiprocessing.connection import Connection

import numpy as np

_PATIENCE = 5.0  # seconds that a process may take to end


class SimulationPool:
    """Environments in processes; they end with the pool, and with the program.

    Args:
        make: function of nothing to a `gymnasium.Env`.
        processes: how many.

    Raises:
        RuntimeError: from every call, if a process has ended or an environment fails.
    """

    def __init__(self, make, processes: int):
        self._workers = [_Worker(number, processes) for number in range(1, processes + 1)]
        self._finalizer = weakref.finalize(self, _end, self._workers)
        import cloudpickle  # of gymnasium's dependencies: only who has that comes here

        message = cloudpickle.dumps(make)
        self._together([message] * processes)

    @property
    def process_ids(self) -> list[int]:
        """Of the operating system, one a process."""
        return [worker.process.pid for worker in self._workers]

    def start(self, parameters: np.ndarray, seeds: list[int]) -> np.ndarray:
        """Begins K trajectories, as `Simulations.start`: observations [K, o]."""
        self._bounds = _bounds(len(seeds), len(self._workers))
        return np.concatenate(self._call("start", parameters, seeds))

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A step of the K trajectories, as `Simulations.step`."""
        parts = zip(*self._call("step", actions), strict=True)
        observations, rewards, ended = (np.concatenate(part) for part in parts)
        return observations, rewards, ended

    def close(self) -> None:
        """Ends the processes."""
        self._finalizer()

    def _call(self, name, *whole):
        """What each process that has a share of the trajectories answers."""
        return self._together(
            [
                pickle.dumps((name, *(one[first:last] for one in whole)))
                for first, last in self._bounds
            ]
        )

    def _together(self, messages):
        """Sends a message to each of the first processes, and gathers what they answer."""
        workers = self._workers[: len(messages)]
        for worker, message in zip(workers, messages, strict=True):
            worker.send(message)
        answers = [worker.answer() for worker in workers]
        failed = next((a for a in answers if isinstance(a, RuntimeError)), None)
        if failed:
            raise failed
        return answers


class _Worker:
    """One process and this end of its connection."""

    def __init__(self, number: int, of: int):
        self.name = f"simulation process {number} of {of}"
        here, there = socket.socketpair()
        with there:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tfmeta.rl.simulation_worker", str(there.fileno())],
                pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL,
                # What this program can import, its processes can.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
            )
        self.connection = Connection(here.detach())

    def send(self, message: bytes) -> None:
        # A process that has died is noticed when it is to answer.
        with contextlib.suppress(ConnectionError, OSError):
            self.connection.send_bytes(message)

    def answer(self):
        """The result, or a RuntimeError that says what went wrong."""
        try:
            kind, answer = self.connection.recv()
        except (EOFError, OSError):
            code = self.process.wait(_PATIENCE)
            return RuntimeError(
                f"Simulations must last as long as the program. Received: {self.name} "
                f"(process {self.process.pid}) has ended with exit code {code}. Look above for "
                "what it said, or whether the system ran out of memory, and start again: a run "
                "goes on from its last checkpoint."
            )
        if kind == "done":
            return answer
        return RuntimeError(f"An environment failed in {self.name}. Received: {answer}")


def _bounds(trajectories: int, workers: int) -> list[tuple[int, int]]:
    """First and end of each worker's share; none is empty."""
    cuts = np.linspace(0, trajectories, min(workers, trajectories) + 1).astype(int).tolist()
    return list(itertools.pairwise(cuts))


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.connection.close()
    for worker in workers:
        try:
            worker.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:  # It simulates, and does not listen.
            worker.process.kill()
            worker.process.wait()
