"""Puts faults into copies of the library, one at a time, and stores which ones the tests caught.

    python -m tests.mutations [--names=TEXT,...] [--jobs=2] [--again]

A fault is a line that a tired programmer could have written; each part of the library has a file of
them here. For each one its file is changed in a copy of the working tree, the tests that should see
it run until the first failure, and the file is put back. Results are stored as they come in
results/mutations.json, and a call goes on with the faults that have none; `--again` repeats them.
A fault whose text is no longer in the library is reported as "missing": write it anew.
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from tests.mutations import of_export, of_learners, of_learning, of_runs, of_serving, of_tasks

ROOT = pathlib.Path(__file__).parents[2]
RESULT = ROOT / "results" / "mutations.json"
FAULTS = [
    fault
    for module in (of_tasks, of_learning, of_learners, of_export, of_serving, of_runs)
    for fault in module.FAULTS
]
LONGEST_SECONDS = 900
# Exit codes of pytest.
_OUTCOMES = {0: "survived", 1: "caught", 5: "no tests"}


def copy_of_tree(folder):
    """Copies the files that git knows or would add; the copy's path."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith("results/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def load_libraries():
    """Imports what most tests need, once: each fault's process is a fork of this one.

    Nothing of tfmeta and no operation of TensorFlow, whose threads a fork would lack.
    """
    import keras  # noqa: F401
    import pytest  # noqa: F401
    import tensorflow as tf  # noqa: F401


class Trial:
    """A fault in a copy of the tree, and the process that runs its tests."""

    def __init__(self, fault, root):
        self.fault, self.root = fault, root
        self._path = root / fault.file
        self._original = self._path.read_text(encoding="utf-8")
        changed = fault.applied(root)
        if self._path.suffix == ".py":
            compile(changed, fault.file, "exec")
        self._path.write_text(changed, encoding="utf-8")
        self._output = root.with_suffix(".txt")
        self._begin = time.monotonic()
        self._child = os.fork()
        if not self._child:
            self._run()

    def _run(self):
        """The child: pytest in the copy; never returns."""
        code = 3
        try:
            os.setpgid(0, 0)
            output = os.open(self._output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for descriptor in (1, 2):
                os.dup2(output, descriptor)
            os.chdir(self.root)
            os.environ["PYTHONPATH"] = str(self.root)
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            sys.dont_write_bytecode = True
            sys.path[:] = [str(self.root), *(p for p in sys.path if p not in ("", str(ROOT)))]
            for name in [name for name in sys.modules if name.split(".")[0] in ("tests", "tfmeta")]:
                del sys.modules[name]
            import pytest

            code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", *self.fault.tests])
        finally:
            sys.stdout.flush()
            os._exit(int(code))

    def result(self):
        """The row of the results once the tests have ended, else None."""
        ended, status = os.waitpid(self._child, os.WNOHANG)
        seconds = time.monotonic() - self._begin
        if not ended and seconds < LONGEST_SECONDS:
            return None
        if not ended:
            os.killpg(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
        self._path.write_text(self._original, encoding="utf-8")
        code = os.waitstatus_to_exitcode(status) if ended else None
        lines = self._output.read_text(encoding="utf-8", errors="replace").splitlines()
        failed = [line.split(" - ")[0] for line in lines if line.startswith(("FAILED", "ERROR"))]
        if code is not None and code < 0:  # The fault took the tests' process with it.
            by = f"the tests' process, ended by {signal.Signals(-code).name}"
            return {"outcome": "caught", "by": by, "seconds": round(seconds, 1)}
        return {
            "outcome": _OUTCOMES.get(code, "error") if ended else "no end",
            "by": failed[0].split(" ", 1)[1] if failed else None,
            "seconds": round(seconds, 1),
        }


def stored():
    """Rows of earlier calls, by name."""
    return json.loads(RESULT.read_text(encoding="utf-8"))["faults"] if RESULT.exists() else {}


def write(rows):
    """Stores the rows of the faults that are listed now, in their order."""
    names = [fault.name for fault in FAULTS if fault.name in rows]
    counts = collections.Counter(rows[name]["outcome"] for name in names)
    document = {
        "command": "python -m tests.mutations",
        "listed": len(FAULTS),
        **{outcome.replace(" ", "_"): number for outcome, number in sorted(counts.items())},
        "faults": {name: rows[name] for name in names},
    }
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def chosen(rows, texts, again):
    """The faults to try."""
    return [
        fault
        for fault in FAULTS
        if (again or fault.name not in rows)
        and (not texts or any(text in f"{fault.file} {fault.name}" for text in texts))
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--names", default="", help="Texts in names or files of faults; none: all.")
    parser.add_argument("--jobs", type=int, default=1, help="Faults that are tried at a time.")
    parser.add_argument("--again", action="store_true", help="Repeat faults that have a result.")
    asked = parser.parse_args()
    rows, git = stored(), ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()

    def keep(fault, row):
        rows[fault.name] = {"file": fault.file, **row, "commit": commit}
        write(rows)
        print(f"{row['outcome']:8} {fault.name} ({fault.file})", flush=True)

    waiting = collections.deque()
    for fault in chosen(rows, list(filter(None, asked.names.split(","))), asked.again):
        if fault.applied(ROOT) is None:
            keep(fault, {"outcome": "missing", "by": None, "seconds": 0.0})
        else:
            waiting.append(fault)
    load_libraries()
    with tempfile.TemporaryDirectory() as folder:
        count = min(asked.jobs, len(waiting))
        free = [copy_of_tree(pathlib.Path(folder) / str(number)) for number in range(count)]
        trials = []
        while waiting or trials:
            while waiting and free:
                trials.append(Trial(waiting.popleft(), free.pop()))
            time.sleep(0.2)
            for trial in list(trials):
                if row := trial.result():
                    trials.remove(trial)
                    free.append(trial.root)
                    keep(trial.fault, row)


if __name__ == "__main__":
    main()
