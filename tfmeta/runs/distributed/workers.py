"""Several workers: waiting for each other at the start, and the end of all when one is lost.

TensorFlow's coordination service, which `MultiWorkerMirroredStrategy` starts, sends heartbeats: a
worker whose process or host is gone makes the collectives of the others fail after ten seconds,
and at once where its connections are reset. Collectives have no time limit of their own, since the
others wait in one for as long as the chief validates.
"""

import contextlib
import faulthandler
import math
import os
from collections.abc import Iterator

import tensorflow as tf

from tfmeta.runs.distributed.cluster import VARIABLE, Cluster
from tfmeta.runs.distributed.meeting import meet
from tfmeta.runs.recipe import RecipeError, RunError
from tfmeta.runs.workdir import WorkDir

PATIENCE = "TFMETA_WORKERS_TIMEOUT"
_SECONDS = 300.0
# TensorFlow cannot be told that a worker may leave; what it then prints looks like a failure.
ALONE = (
    "The chief goes on alone with evaluation and export, and the others leave: what TensorFlow "
    "says from here on of tasks that are unhealthy or stopped sending heartbeats means only that."
)
# What a collective says, on one worker or another, when a peer is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
)


class WorkerLost(RunError):
    """A worker of the run is gone, or could not be reached."""


def patience() -> float:
    """Seconds that a worker waits for the others to start.

    Raises:
        RecipeError: if the environment variable TFMETA_WORKERS_TIMEOUT is not a positive number.
    """
    text = os.environ.get(PATIENCE, str(_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise RecipeError(
            f"{PATIENCE} must be a number of seconds above 0. Received: {text!r}. Unset it for "
            f"{_SECONDS:g}."
        )
    return seconds


@contextlib.contextmanager
def gathering(cluster: Cluster, say=lambda text: None) -> Iterator[None]:
    """Around what needs all workers for the first time: meets them, and does not wait for ever.

    TensorFlow waits in C++ and holds Python's lock, so that no signal, thread or exception gets
    through: hence `meeting` first. What is left (a worker that dies between that and its first
    exchange) ends this process with code 1 and the stack that it waited in. Nothing is lost, since
    no step was taken yet.

    Args:
        cluster: of the run.
        say: takes the line which says who is waited for.

    Raises:
        WorkerLost: if a worker does not come, this one can't listen at its address, or TensorFlow
            refuses the cluster.
    """
    if not cluster.others:
        yield
        return
    seconds, own = patience(), cluster.name(cluster.index)
    say(f"{own} of {len(cluster.addresses)}: waits up to {seconds:g} s for the others")
    try:
        meet(cluster, seconds)
    except TimeoutError as error:
        raise WorkerLost(
            f"All workers of a run must start within {seconds:g} s of each other. Received: "
            f"{own} {error}. Start the same command on every host, each with its own index in "
            f"{VARIABLE}; let the hosts reach each other at these addresses; if they need longer, "
            f"raise {PATIENCE}."
        ) from error
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    except tf.errors.OpError as error:
        raise WorkerLost(
            f"Every worker of a run must reach the others. Received: {own}: {_said(error)} End "
            "what still runs of this run on any host, and start the same command on every host "
            "again."
        ) from error
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def loss_of_workers(cluster: Cluster, place: WorkDir) -> Iterator[None]:
    """Turns what TensorFlow says when a worker is gone into words.

    Raises:
        WorkerLost: which worker, and how to go on.
    """
    try:
        yield
    except _LOST as error:
        if not cluster.others:
            raise
        saved = place.resume_step()
        raise WorkerLost(
            "All workers of a run must stay until its last step. Received: a worker that "
            f"{cluster.name(cluster.index)} no longer reaches ({_said(error)}). Start the same "
            "command on every host again: the run goes on from "
            f"{f'step {saved}' if saved else 'its beginning, as nothing was saved yet'}."
        ) from error


def _said(error: tf.errors.OpError) -> str:
    """The line of TensorFlow's message that names the worker or the cause."""
    lines = [line.strip() for line in (error.message or "").splitlines() if line.strip()]
    telling = [x for x in lines if "/job:" in x or "aborted by" in x or "bind" in x] or lines
    return " ".join(telling)[:300]


def check_agreement(cluster: Cluster, facts: list[dict], advice: dict[str, str]) -> None:
    """Refuses workers that would train different things; all of them say so together.

    Args:
        cluster: of the run.
        facts: of `Agreement.everyones_facts`.
        advice: which of the facts must be equal, with what to do where they are not.

    Raises:
        RecipeError: naming the worker and what differs.
    """
    for index, found in enumerate(facts):
        for name, what_to_do in advice.items():
            if found[name] != facts[0][name]:
                raise RecipeError(
                    f"All workers of a run must have the same {name}. Received: "
                    f"{cluster.name(index)}: {_short(found[name])}; the chief, {cluster.name(0)}: "
                    f"{_short(facts[0][name])}. {what_to_do}"
                )


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
