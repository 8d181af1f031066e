"""What all tests share."""

import fcntl
import gc
import importlib
import os
import pathlib
import sys
import tempfile
import types

import pytest

# Files that take long, first: with `--dist loadfile` a long file at the end runs alone.
LONG = (
    # Before others leave what its real collector would go through, for minutes.
    "serve/models/test_model_versions.py",
    "test_tutorials.py",
    "test_guides.py",
    "runs/distributed/test_two_workers.py",
    "runs/test_mirrored.py",
    "runs/test_kill.py",
    "conformance/",
    "references/",
    "runs/",
    "test_docstrings.py",
    "saved_model/",
    "keras_contract/",
    "serve/test_command.py",
    "test_commands.py",
    "learners/",
    "clients/",
    "test_readme.py",
)
# Files of a few tests, each of a minute, which share nothing: each goes to the next free worker.
APART = ("tests/test_tutorials.py", "tests/test_guides.py")


def pytest_collection_modifyitems(items):
    """Puts the tests of long files first, and leaves the order otherwise as it is."""

    def rank(item):
        path = item.nodeid.removeprefix("tests/")
        return next((n for n, start in enumerate(LONG) if path.startswith(start)), len(LONG))

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Files in the order of their tests; pytest-xdist would begin with those of most tests."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class InOrder(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return nodeid if nodeid.startswith(APART) else super()._split_scope(nodeid)

    config.option.loadscopereorder = False
    return InOrder(config, log)


@pytest.fixture(autouse=True, scope="session")
def xla_stays_enabled():
    """A server disables XLA for its whole process, and others of this process's tests need it.

    Keras compiles grouped convolutions. `tests/serve/models/test_xla.py` uses further processes.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfmeta.serve.models.served_version.disable_xla", lambda: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def what_a_server_froze_stays_frozen():
    """A server that starts or stops has the collector look at everything.

    That is the graphs of every test before it: half a minute for the first server of a worker, and
    a second for each of a hundred others.
    """
    still = {"collect": lambda: 0, "unfreeze": lambda: None}
    collector = types.SimpleNamespace(**{**vars(gc), **still})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfmeta.serve.models.large_work.gc", collector)
        yield


@pytest.fixture(autouse=True, scope="session")
def collector_leaves_libraries_alone():
    """Tracing makes so many objects that the collector runs again and again.

    Each run would go through all of TensorFlow and Keras too: a seventh of the tests' time.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    yield
    gc.set_threshold(*before)


# Tests of what users run: files, exports, servers, documents; and of programs of other frameworks.
OPTIMIZED = ("clients/", "presets/", "references/", "saved_model/", "serve/", "test_readme.py")


@pytest.fixture(autouse=True, scope="module")
def graphs_run_as_they_were_traced(request):
    """Grappler rewrites each graph before its first call, to shorten the later ones.

    Most graphs of tests are called once or twice: that takes longer than to compute them.
    """
    tensorflow = sys.modules.get("tensorflow")
    path = request.node.nodeid.removeprefix("tests/")
    if tensorflow is None or path.startswith(OPTIMIZED):
        yield
        return
    set_options = tensorflow.config.optimizer.set_experimental_options
    set_options({"disable_meta_optimizer": True})
    yield
    set_options({"disable_meta_optimizer": False})


@pytest.fixture
def without_traces():
    """For a test of what is computed: a trace takes longer than many calls without one.

    That both give the same is a property of its own (`tests/conformance/test_compilations.py`).
    """
    from tests.keras_contract.eagerly import eagerly

    with eagerly():
        yield


@pytest.fixture
def further_cases_without_traces(request):
    """For a test whose quick case is traced, and shows that a trace does as the others."""
    if request.node.get_closest_marker("slow") or request.node.get_closest_marker("product"):
        request.getfixturevalue("without_traces")


SHARE_OF_MEMORY = 0.2  # that a worker may take before what earlier files left is collected


@pytest.fixture(autouse=True, scope="module")
def collector_leaves_earlier_files_alone():
    """What a file leaves, graphs above all, is not looked at again while there is memory for it.

    The collector would go through the graphs of all files before, for up to two minutes at a time.
    """
    yield
    if share_of_memory() > SHARE_OF_MEMORY:
        gc.unfreeze()
        gc.collect()
    gc.freeze()


def share_of_memory():
    """Of the machine's memory, what this process holds; 0 where the system does not say."""
    pages = pathlib.Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) / os.sysconf("SC_PHYS_PAGES") if pages.exists() else 0


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """`made_once(name, make)` -> path that `make(folder)` gave, in one of all workers.

    For what many files read and none changes, as an export.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "made_once"

    def get(name, make):
        mine = folder / name
        mine.mkdir(parents=True, exist_ok=True)
        with open(mine / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            made = mine / "made"
            if not made.exists():
                path = make(pathlib.Path(tempfile.mkdtemp(dir=mine)))
                made.write_text(str(path))
            return pathlib.Path(made.read_text())

    return get


@pytest.fixture(autouse=True, scope="session")
def operations_share_a_stack():
    """Each operation of a graph keeps the Python stack that made it, which is deep under pytest.

    That took a quarter of the time of two files tried.
    """
    tf_stack = importlib.import_module("tensorflow.python.util.tf_stack")
    with pytest.MonkeyPatch.context() as patch:
        stack, real = tf_stack.extract_stack(), tf_stack.extract_stack
        patch.setattr(tf_stack, "extract_stack", lambda stacklevel=1: stack)
        yield tf_stack, real


@pytest.fixture
def real_stacks(operations_share_a_stack, monkeypatch):
    """For tests of what an error shows."""
    tf_stack, real = operations_share_a_stack
    monkeypatch.setattr(tf_stack, "extract_stack", real)


@pytest.fixture
def real_collector(monkeypatch):
    """For tests of what a server leaves in memory."""
    monkeypatch.setattr("tfmeta.serve.models.large_work.gc", gc)
    gc.unfreeze()
