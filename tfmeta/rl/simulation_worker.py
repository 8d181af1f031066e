"""A process that simulates: it keeps environments of gymnasium and steps them one after another.

    python -m tfmeta.rl.simulation_worker DESCRIPTOR

`simulation_pool` starts it and holds the other end of the socket DESCRIPTOR. It imports neither
TensorFlow nor Keras, and it ends when the other end closes: also where the program was killed.
"""

import pickle
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any

import numpy as np


class Simulations:
    """Environments, each of which has one trajectory at a time.

    Args:
        make: function of nothing to a `gymnasium.Env`.
    """

    def __init__(self, make):
        self._make = make
        self._environments = []

    def start(self, parameters: np.ndarray, seeds: list[int]) -> np.ndarray:
        """Begins a trajectory in each of K environments.

        Args:
            parameters: of the tasks [K, p].
            seeds: K whole numbers; a trajectory is a function of seed, parameter and actions.

        Returns:
            Observations float64 [K, o].
        """
        while len(self._environments) < len(seeds):
            self._environments.append(self._make())
        self._current = self._environments[: len(seeds)]
        starts = [
            environment.reset(seed=seed, options={"task": parameter})[0]
            for environment, parameter, seed in zip(self._current, parameters, seeds, strict=True)
        ]
        self._observations = np.array(starts, np.float64)
        self._ended = np.zeros(len(seeds), bool)
        return self._observations.copy()

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Steps the trajectories that have not ended; the others stay as they are.

        Args:
            actions: [K, a]; -1 to 1 is each number's range, and beyond it they are clipped.

        Returns:
            Observations float64 [K, o], rewards float64 [K], and which ended, bool [K].
        """
        rewards = np.zeros(len(actions))
        actions = in_units_of(self._current[0].action_space, actions)
        for number in np.flatnonzero(~self._ended):
            step = self._current[number].step(actions[number])
            self._observations[number], rewards[number], terminated, truncated, _ = step
            self._ended[number] = terminated or truncated
        return self._observations.copy(), rewards, self._ended.copy()


def in_units_of(space, actions: np.ndarray) -> np.ndarray:
    """Actions [..., a] of a `gymnasium.spaces.Box`, from ones whose range is -1 to 1."""
    share = (np.clip(actions, -1.0, 1.0) + 1.0) / 2.0
    return (space.low + share * (space.high - space.low)).astype(space.dtype)


def serve(connection: Connection) -> None:
    """Answers the calls that come through a connection, until its other end is closed.

    The first message is a pickled function that makes an environment; each of the others is the
    name of a method of `Simulations` with its arguments. An answer is ("done", result), or
    ("failed", text) with what Python said.
    """
    simulations = None
    said: tuple[str, Any]
    while True:
        try:
            message = connection.recv_bytes()
        except (EOFError, ConnectionError):
            return
        try:
            if simulations is None:
                answer, simulations = None, Simulations(pickle.loads(message))
            else:
                name, *arguments = pickle.loads(message)
                answer = getattr(simulations, name)(*arguments)
            said = ("done", answer)
        except Exception:
            said = ("failed", traceback.format_exc())
        try:
            connection.send(said)
        except ConnectionError:
            return


if __name__ == "__main__":
    # Signals to a whole group of processes are the program's to answer: it saves its state, for
    # which it may need its simulations to the end of the step, and then closes the connection.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    serve(Connection(int(sys.argv[1])))
