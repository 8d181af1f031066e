"""The versions of one model: watched, loaded, warmed, switched to, drained and dropped.

As TF Serving's file system source with its availability preserving policy: children whose names
are integers are versions, the newest is loaded and warmed before the older ones go, and where it
fails the older one stays.
"""

import contextlib
import dataclasses
import pathlib
import threading
import time

from tfmeta.serve import logs
from tfmeta.serve.errors import Code, ServingError
from tfmeta.serve.models import checksums, low_priority, version_directories
from tfmeta.serve.models.large_work import release_memory
from tfmeta.serve.models.native_session import directly
from tfmeta.serve.models.served_version import ServedVersion
from tfmeta.serve.models.warmup import warm

START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"

_SHORTEST_PAUSE = 0.001  # seconds; without one the watcher would hold a core


@dataclasses.dataclass(eq=False)
class Version:
    """A version that was seen, and what became of it.

    Attributes:
        number: its number.
        path: its directory.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        error: why it ended, or None.
        served: the `ServedVersion` while it is in memory.
    """

    number: int
    path: pathlib.Path
    state: str = START
    error: ServingError | None = None
    served: ServedVersion | None = None
    users: int = 0
    failures: int = 0
    failed_at: float = 0.0
    failed_files: tuple = ()
    seen_files: tuple = ()


class ModelVersions:
    """The versions under one base path.

    Args:
        config: `ModelConfig`.
        options: `ServerOptions`.
        metrics: `Metrics`.

    Attributes:
        config: `ModelConfig` of now.
    """

    def __init__(self, config, options, metrics):
        self.config, self._options, self._metrics = config, options, metrics
        self._polling = threading.Lock()
        self._lock = threading.Lock()
        self._unused = threading.Condition(self._lock)
        self._versions = {}
        self._stopped = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="versions", daemon=True)
        self._drains = []

    def start(self):
        """Loads what is there, then watches.

        Raises:
            ServingError: if the base path is missing, or it has versions and none loads.
        """
        self.look()
        self.watch()

    def look(self):
        """Loads what is there.

        Raises:
            ServingError: if the base path is missing, or it has versions and none loads.
        """
        self.poll()
        failed = [each for each in self._versions.values() if each.error]
        if failed and not self.available():
            raise failed[-1].error

    def watch(self):
        """Looks again from time to time."""
        if self._options.file_system_poll_wait_seconds:
            self._watcher.start()  # else that look was the only one (TF Serving's main.cc:173)

    def reconfigure(self, config):
        """Serves by another version policy, at once.

        Args:
            config: `ModelConfig` of the same name and base path.
        """
        self.config = config
        try:
            self.poll()
        except ServingError as error:  # of the base path; what is loaded stays
            logs.warning("poll_failed", model=config.name, reason=error.message)

    def stop(self):
        """Stops watching and frees all versions; none may be in use."""
        self._stopped.set()
        if self._watcher.is_alive():
            self._watcher.join(self._options.shutdown_seconds)  # it may be loading a version
        for drain in self._drains:
            drain.join()
        for version in self.available():
            self._unload(version, wait=True)

    def available(self) -> list:
        """The versions that take requests, ascending."""
        with self._lock:
            return [each for each in self._sorted() if each.state == AVAILABLE]

    def status(self, number=None) -> list:
        """(number, state, error) of each version that was ever seen, the newest first."""
        with self._lock:
            return [
                (each.number, each.state, each.error)
                for each in reversed(self._sorted())
                if number is None or each.number == number
            ]

    @contextlib.contextmanager
    def use(self, number=None):
        """Holds a version, the newest by default: it stays in memory for the length of a `with`.

        Raises:
            ServingError: NOT_FOUND if it is not available.
        """
        version = self._take(number)
        try:
            yield version
        finally:
            with self._lock:
                version.users -= 1
                self._unused.notify_all()

    def poll(self):
        """Looks at the base path once, and loads and drops what follows from it."""
        with self._polling:
            self._poll()

    def _poll(self):
        found = version_directories.find(self.config.base_path, self.config.name)
        aspired = version_directories.aspired(found, self.config)
        for number in aspired:
            if self._should_load(number, found[number]):
                self._load(number, found[number])
        self._note_replaced_files()
        good = [each.number for each in self.available()]
        if not aspired or any(number in aspired for number in good):
            for version in self.available():
                if version.number not in aspired:
                    self._unload(version)

    def _note_replaced_files(self):
        """As in TensorFlow Serving a loaded version stays as it was loaded; the log says so."""
        for version in self.available():
            files = version_directories.files(version.path)
            if files and files != version.seen_files:
                version.seen_files = files
                logs.warning(
                    "version_changed",
                    model=self.config.name,
                    version=version.number,
                    reason="The files of a loaded version changed; it is served as it was loaded. "
                    "Give the new files a new version number.",
                )

    def _watch(self):
        told, pause = None, max(self._options.file_system_poll_wait_seconds, _SHORTEST_PAUSE)
        while not self._stopped.wait(pause):
            try:
                self.poll()
                told = None
            except Exception as error:  # a broken disk must not end the watching
                if str(error) != told:
                    logs.warning("poll_failed", model=self.config.name, reason=str(error))
                told = str(error)

    def _take(self, number):
        with self._lock:
            good = [each for each in self._sorted() if each.state == AVAILABLE]
            chosen = [each for each in good if number in (None, each.number)]
            if not chosen:
                name = self.config.name
                asked = f"Latest({name})" if number is None else f"Specific({name}, {number})"
                raise not_found(asked)
            chosen[-1].users += 1
            return chosen[-1]

    def _sorted(self):
        return [self._versions[number] for number in sorted(self._versions)]

    def _should_load(self, number, path):
        known = self._versions.get(number)
        if known is None or (known.state == END and known.error is None):
            return True
        if known.state != END:
            return False
        # A failed version is tried again once its files have changed and come to rest, and
        # otherwise now and then.
        files = version_directories.files(path)
        rested, known.seen_files = files == known.seen_files, files
        if files != known.failed_files:
            return rested
        pause = self._options.load_retry_interval_seconds
        left = known.failures <= self._options.max_num_load_retries
        return left and time.monotonic() - known.failed_at >= pause

    def _load(self, number, path):
        known = self._versions.get(number)
        version = Version(number, path, failures=known.failures if known else 0)
        version.failed_files = version.seen_files = version_directories.files(path)
        with self._lock:
            self._versions[number] = version
        self._set(version, LOADING)
        begin = time.monotonic()
        try:
            # While there are requests to answer, they come first.
            call = low_priority.call if self.available() else directly
            served, warmed = self._warmed_version(path, call)
        except Exception as error:
            self._failed(version, error)
            return
        version.served = served
        self._set(version, AVAILABLE, seconds=time.monotonic() - begin, warmup_records=warmed)

    def _warmed_version(self, path, call):
        """(`ServedVersion`, number of its warmup records)."""
        checksums.check(path)
        options = self._options
        served = ServedVersion(
            path, options.intra_op_parallelism, options.inter_op_parallelism, call
        )
        try:
            warmed = self._warm(served, path, call)
        except BaseException:
            served.close()
            raise
        release_memory()  # what loading took
        return served, warmed

    def _warm(self, served, path, call):
        if not self._options.enable_model_warmup:
            return 0
        begin = time.monotonic()
        records = warm(served, path, call)
        self._metrics.warmed(self.config.name, time.monotonic() - begin)
        return records

    def _failed(self, version, error):
        if isinstance(error, ServingError):
            error = error.alone()
        else:
            error = ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}")
        version.failures += 1
        version.failed_at = time.monotonic()
        version.error = error
        self._set(version, END, reason=error.message)

    def _unload(self, version, wait=False):
        self._set(version, UNLOADING)
        drain = threading.Thread(target=self._drain, args=(version,), name="drain", daemon=True)
        drain.start()
        self._drains = [each for each in self._drains if each.is_alive()]
        self._drains.append(drain)
        if wait:
            drain.join()

    def _drain(self, version):
        with self._lock:
            while version.users:
                self._unused.wait()
        version.served.close(low_priority.call)
        version.served = None
        self._set(version, END)

    def _set(self, version, state, **facts):
        with self._lock:
            version.state = state
        report = logs.warning if "reason" in facts else logs.info
        report("version", model=self.config.name, version=version.number, state=state, **facts)


def not_found(asked) -> ServingError:
    """A NOT_FOUND in TF Serving's words (`core/basic_manager.cc`)."""
    return ServingError(Code.NOT_FOUND, f"Servable not found for request: {asked}")
