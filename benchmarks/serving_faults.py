"""Bad clients, bad files and kills against the embedded server, in thousands.

    python -m benchmarks.serving_faults --write

Each fault is repeated; then the process must be alive and the next good request answered, and
the resident memory is noted. The server is killed and restarted first; then one process lives
through all the rest, several rounds over, whose ends tell whether memory comes back. The server's
log goes to a full disk. The model is an untrained network of Omniglot's size.
"""

import collections
import concurrent.futures
import contextlib
import itertools
import json
import os
import pathlib
import platform
import re
import shutil
import tempfile
import time

import tensorflow as tf
from absl import app, flags

from benchmarks.serving_bad_versions import BadVersions, wait
from benchmarks.serving_crowds import Crowds
from benchmarks.serving_process import NAME, PREDICT, ServerProcess

_WRITE = flags.DEFINE_bool("write", False, "Write results/serving_faults.json.")
_SCALE = flags.DEFINE_float("scale", 1.0, "Repetitions, of those in the sources.")
_ONLY = flags.DEFINE_string("only", "", "Regular expression of the faults to run; default: all.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "How often all of it runs.")

_CLIENT_SECONDS = 2.0
_FLAGS = (
    f"--client_timeout_seconds={_CLIENT_SECONDS}",
    "--file_system_poll_wait_seconds=0.1",
    "--max_queued_requests=16",
)
_KILLS = 5


class Faults(Crowds, BadVersions):
    """Faults of clients, files and the process itself, beside those of requests and versions."""

    def fault_clients_that_send_slowly(self):
        head = b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"
        crowd = []
        for _ in range(100):
            crowd.append(self.server.connect())
            crowd[-1].sendall(head[: self.random.randint(0, len(head))])
        return collections.Counter(_ending(each) for each in crowd)

    def fault_clients_that_stop_reading(self):
        crowd = []
        wish = f"GET /v1/models/{NAME}/metadata HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        for _ in range(20):
            crowd.append(self.server.connect(receive_buffer=4096))
            crowd[-1].settimeout(2 * _CLIENT_SECONDS)
            with contextlib.suppress(OSError):  # cut off while it sent
                crowd[-1].sendall(wish * 2000)
        time.sleep(2 * _CLIENT_SECONDS)  # the clients' idleness is the fault
        return collections.Counter(_ending(each) for each in crowd)

    def fault_clients_that_hang_up(self):
        def ask():
            head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(self.json)}\r\n\r\n"
            text = head.encode() + self.json
            with self.server.connect() as connection:
                connection.sendall(text[: self.random.randint(1, len(text))])
            call = self.server.send(self.server.request(self.good))
            call.cancel()
            return "gone"

        return self.count(200, ask)

    def fault_more_clients_than_places(self):
        request = self.server.request(self.good)
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            asked = [pool.submit(self.server.predict, request) for _ in range(640)]
            return collections.Counter(each.result() for each in asked)

    def fault_versions_that_are_broken(self):
        seen = collections.Counter()
        whole = (self.base / "1" / "saved_model.pb").read_bytes()
        for number, spoil in enumerate(
            (
                lambda path: os.truncate(path / "saved_model.pb", len(whole) // 2),
                lambda path: (path / "saved_model.pb").write_bytes(os.urandom(10_000)),
                lambda path: shutil.rmtree(path / "variables"),
                lambda path: os.truncate(next(path.glob("variables/*.data-*")), 999),
                shutil.rmtree,
            ),
            start=self.unused_version(),
        ):
            beside, target = self.base / f".{number}", self.base / str(number)
            shutil.copytree(self.base / "1", beside)
            spoil(beside)
            beside.mkdir(exist_ok=True)
            beside.rename(target)
            wait(lambda number=number: self.server.states().get(number, "?")[0] == "END")
            _, message = self.server.states()[number]
            seen["reported" if message else "silent"] += 1
            shutil.rmtree(target)
        return seen

    def fault_versions_that_come_and_go(self):
        for number in itertools.islice(itertools.count(self.unused_version()), 6):
            beside = self.base / f".{number}"
            shutil.copytree(self.base / "1", beside)
            beside.rename(self.base / str(number))
            wait(lambda number=number: self.server.states().get(number, "?")[0] == "AVAILABLE")
            shutil.rmtree(self.base / str(number))
            wait(lambda number=number: self.server.states()[number][0] == "END")
        return {"served": 6}

    def fault_directory_removed_and_back(self):
        elsewhere = self.base.with_name("elsewhere")
        self.base.rename(elsewhere)
        time.sleep(0.5)  # some polls of a directory that is not there
        code = self.server.predict(self.server.request(self.good))
        elsewhere.rename(self.base)
        return {code: 1}

    def killed_and_restarted(self):
        calls = [self.server.send(self.server.request(self.good)) for _ in range(8)]
        self.server.kill()
        answers = collections.Counter(self.server.code_of(call) for call in calls)
        self.server.start()
        return answers


def _ending(connection):
    with connection:
        try:
            first = connection.recv(65536)
            while connection.recv(65536):
                pass
        except TimeoutError:
            return "hangs"
        except OSError:
            return "cut off"
        return f"{first[9:12].decode()}, closed" if first else "cut off"


def _export(folder):
    import keras

    import tfmeta

    learner = tfmeta.MAML(tfmeta.networks.conv4(ways=5), inner_rate=0.4, inner_steps=5)
    learner.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    learner.export(folder)


def main(_):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="serving_faults"))
    try:
        _export(folder / "model")
        for report in _reports(folder / "model"):
            print(json.dumps(report, indent=2))
            if _WRITE.value:
                path = pathlib.Path("results/serving_faults.json")
                path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reports(base_path):
    """The report after each round, since a round takes long; the last one has the exit status."""
    server = ServerProcess(base_path, *_FLAGS)
    try:
        faults = Faults(server, base_path, _SCALE.value)
        assert faults.good_answer() == "OK"
        found, memory = {}, []
        for _ in range(_KILLS if not _ONLY.value else 0):
            _try(found, server, faults, "killed_and_restarted")
        start = server.resident_mib
        names = [name for name in dir(faults) if name.startswith("fault_")]
        names = [name for name in names if re.search(_ONLY.value, name)]
        for _ in range(_ROUNDS.value):
            for name in names:
                _try(found, server, faults, name)
            memory.append(server.resident_mib)
            yield _report(found, start, memory)
    except BaseException:
        server.kill()
        raise
    yield _report(found, start, memory, server.stop())


def _report(found, start, memory, exit_status=None):
    return {
        "command": f"python -m benchmarks.serving_faults --rounds={len(memory)} "
        f"--scale={_SCALE.value} --write",
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
        "tensorflow": tf.__version__,
        "resident_mib": {"start": start, "after_each_round": memory},
        "exit_status": exit_status,
        "faults": {name.removeprefix("fault_"): facts for name, facts in found.items()},
    }


def _try(found, server, faults, name):
    """Runs a fault, and looks whether the server is as well as before."""
    answers = collections.Counter(found.get(name, {}).get("answers", {}))
    answers.update(getattr(faults, name)())
    found[name] = {
        "answers": dict(sorted(answers.items())),
        "alive": server.alive,
        "next_good_request": faults.good_answer(),
        "resident_mib": server.resident_mib,
    }
    print(name, found[name], flush=True)
    assert found[name]["alive"], name
    assert found[name]["next_good_request"] == "OK", name


if __name__ == "__main__":
    app.run(main)
