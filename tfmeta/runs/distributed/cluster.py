"""TF_CONFIG: the workers of a run and which of them this process is, in TensorFlow's own format.

Imports no TensorFlow: what is wrong is said before anything starts.
"""

import dataclasses
import json
import os
import re

from tfmeta.runs.recipe import RecipeError

VARIABLE = "TF_CONFIG"
MULTI_WORKER = "multi_worker"
EXAMPLE = (
    """TF_CONFIG='{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, """
    """"task": {"type": "worker", "index": 0}}' python -m tfmeta.train ... on the first host, """
    """and the same with "index": 1 on the second"""
)
_ADDRESS = re.compile(r"(?P<host>\S+):(?P<port>\d{1,5})")
_JOBS = ("chief", "worker")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes that train together.

    Attributes:
        addresses: "host:port" of each, the chief first; empty for a process that trains alone.
        index: which of them this process is.
    """

    addresses: tuple[str, ...] = ()
    index: int = 0

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the work directory."""
        return self.index == 0

    @property
    def others(self) -> tuple[str, ...]:
        return tuple(a for number, a in enumerate(self.addresses) if number != self.index)

    def name(self, index: int) -> str:
        """A worker in an error's words."""
        return f"worker {index} ({self.addresses[index]})" if self.addresses else "this process"


def cluster_of(strategy: str | None) -> Cluster:
    """The cluster of a run with that `run.strategy`, from the environment.

    Raises:
        RecipeError: if TF_CONFIG is missing, malformed, or set where one process trains.
    """
    text = os.environ.get(VARIABLE)
    if strategy == MULTI_WORKER:
        if not text:
            raise _wrong("nothing" if text is None else "an empty text")
        return parse_cluster(text)
    if text is not None:
        raise RecipeError(
            f"{VARIABLE} is for run.strategy = '{MULTI_WORKER}'. Received: {VARIABLE} with "
            f"run.strategy = {strategy!r}, which trains in one process. Unset it, or pass "
            f"--gin_param=\"run.strategy = '{MULTI_WORKER}'\"."
        )
    return Cluster()


def parse_cluster(text: str) -> Cluster:
    """Reads the text of TF_CONFIG.

    Raises:
        RecipeError: naming what is wrong, with an example.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise _wrong(f"{text!r}, which is no JSON ({error})") from error
    jobs = value.get("cluster") if isinstance(value, dict) else None
    task = value.get("task") if isinstance(value, dict) else None
    if not isinstance(jobs, dict) or not isinstance(task, dict):
        raise _wrong(f"{text!r}, which lacks an object cluster or task")
    unknown = [job for job in jobs if job not in _JOBS]
    if unknown or not jobs:
        raise _wrong(f"the jobs {list(jobs)}, where only 'worker' and one 'chief' can train")
    return Cluster(_addresses(jobs), _index(jobs, task))


def _addresses(jobs: dict) -> tuple[str, ...]:
    """Of the chief, where there is one, and of the workers."""
    if any(not isinstance(found, list) or not found for found in jobs.values()):
        raise _wrong(f"the cluster {jobs}, where each job must have a list of addresses")
    if len(jobs.get("chief", [0])) != 1:
        raise _wrong(f"{len(jobs['chief'])} chiefs, where one can be")
    addresses = [address for job in _JOBS for address in jobs.get(job, [])]
    for address in addresses:
        match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if not match or not 0 < int(match["port"]) < 2**16:
            raise _wrong(f"the address {address!r}, which must be host:port")
        if addresses.count(address) > 1:
            raise _wrong(f"the address {address!r} twice")
    return tuple(addresses)


def _index(jobs: dict, task: dict) -> int:
    job, index = task.get("type"), task.get("index")
    if job not in jobs:
        raise _wrong(f"the task type {job!r}, which must be one of {list(jobs)}")
    whole = isinstance(index, int) and not isinstance(index, bool)
    if not whole or not 0 <= index < len(jobs[job]):
        raise _wrong(f"the task index {index!r}, which must be below {len(jobs[job])}")
    return index + (job == "worker") * len(jobs.get("chief", []))


def _wrong(received: str) -> RecipeError:
    return RecipeError(
        f"run.strategy = '{MULTI_WORKER}' needs the environment variable {VARIABLE}: all workers' "
        f"addresses and which of them this process is. Received: {received}. Example: {EXAMPLE}."
    )
