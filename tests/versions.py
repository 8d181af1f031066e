"""Runs quick tests on each version of TensorFlow that tfmeta supports.

Not collected by pytest (an installation and a test run a version):

    python -m tests.versions [--write] [--versions=2.19,2.20,2.21] [--python=python3.11]
        [--with=keras==3.10.*] [--tests=tests/inner,tests/serve/rest/test_rest_api.py]
        [--processes=2] [--environments=FOLDER]

Prints a row a version as JSON; `--write` keeps it in results/compatibility.json, in place of the
row of the same versions. Environments are made in a temporary folder, unless a FOLDER is named,
whose environments are kept and used again.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "compatibility.json"
VERSIONS = ("2.19", "2.20", "2.21")
EXTRAS = {"2.19": "test,tf219"}
PACKAGES = ("tensorflow", "tensorflow-serving-api", "keras", "numpy", "protobuf")
KEY = ("tensorflow", "keras", "python")
_FACTS = (
    "import importlib.metadata as m, json, platform, sys; "
    "print(json.dumps({'python': platform.python_version(), "
    "**{name: m.version(name) for name in sys.argv[1:]}}))"
)


def main():
    """Installs, tests and stores, one version after another."""
    options = _parser().parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.environments or stack.enter_context(tempfile.TemporaryDirectory())
        rows = []
        for version in options.versions.split(","):
            python = installed(Path(folder), version, options)
            rows.append({**facts(python), **tested(python, options)})
            print(json.dumps(rows[-1]), flush=True)
            if options.write:
                store(rows[-1])
    return int(any(row["failed"] or row["exit_status"] for row in rows))


def installed(folder: Path, version: str, options) -> Path:
    """The Python of an environment that holds the project beside one version of TensorFlow."""
    name = "-".join([f"tf{version}", Path(options.python).name, *options.extra])
    environment = folder / "".join(c if c.isalnum() or c in "-." else "_" for c in name)
    python = environment / "bin" / "python"
    if not (environment / "installed").exists():
        subprocess.run([options.python, "-m", "venv", environment], check=True)
        project = f"{ROOT}[{EXTRAS.get(version, 'test')}]"
        install = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*install, project, f"tensorflow=={version}.*", *options.extra], check=True)
        subprocess.run([python, "-m", "pip", "check"], check=True)
        (environment / "installed").touch()
    return python


def facts(python: Path) -> dict:
    """The versions that an environment holds."""
    command = [python, "-c", _FACTS, *PACKAGES]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def tested(python: Path, options) -> dict:
    """Counts of passed, failed and skipped tests, and the names of failures."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [python, "-m", "pytest", "-q", f"--junitxml={report}", *options.tests.split(",")]
        if options.processes > 1:
            command += ["-n", str(options.processes), "--dist", "loadfile"]
        path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
        status = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PATH": path}, stdout=sys.stderr
        ).returncode
        cases = list(ElementTree.parse(report).iter("testcase"))
    failures = [_name(case) for case in cases if _has(case, "failure", "error")]
    skipped = sum(_has(case, "skipped") for case in cases)
    return {
        "passed": len(cases) - len(failures) - skipped,
        "failed": len(failures),
        "skipped": skipped,
        "failures": failures,
        "exit_status": status,
        "tests": options.tests.split(","),
    }


def store(row: dict):
    """Keeps a row in the table, in place of the row of the same versions."""
    rows = json.loads(RESULTS.read_text("utf-8"))["rows"] if RESULTS.exists() else []
    key = [row[name] for name in KEY]
    rows = [other for other in rows if [other[name] for name in KEY] != key]
    rows = sorted([*rows, row], key=lambda each: [each[name] for name in KEY])
    table = {"command": "python -m tests.versions --write", "rows": rows}
    RESULTS.write_text(json.dumps(table, indent=1) + "\n", "utf-8")


def _name(case):
    return f"{case.get('classname')}::{case.get('name')}"


def _has(case, *kinds):
    return any(case.find(kind) is not None for kind in kinds)


def _parser():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--versions", default=",".join(VERSIONS))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--with", dest="extra", action="append", default=[], metavar="PACKAGE")
    parser.add_argument("--tests", default="tests", help="paths, by commas; default: all quick")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--environments", help="folder to keep environments in")
    parser.add_argument("--write", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
