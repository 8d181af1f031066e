"""Versions with broken files, for `serving_faults`: flipped, garbage, replaced, half there."""

import collections
import contextlib
import resource
import shutil
import subprocess
import sys
import time

from benchmarks.serving_bad_requests import PATIENCE_SECONDS, BadRequests

GRAPH, WARMUP = "saved_model.pb", "assets.extra/tf_serving_warmup_requests"
CHECKSUMS = "assets.extra/SHA256SUMS"
_FULL_AT_BYTES = 100_000


class BadVersions(BadRequests):
    """Faults in a version's files; each method named "fault_..." gives `{outcome: count}`."""

    def fault_flipped_bits_of_versions(self):
        return self.count(20, lambda: self._published(self._flip))

    def fault_flipped_bits_of_graphs_without_checksums(self):
        def spoil(path):
            (path / CHECKSUMS).unlink()
            self._flip(path, path / GRAPH)

        return self.count(10, lambda: self._published(spoil))

    def fault_garbage_for_a_graph(self):
        def spoil(path):
            (path / CHECKSUMS).unlink()
            (path / GRAPH).write_bytes(self.random.randbytes(10_000))

        return self.count(3, lambda: self._published(spoil))

    def fault_garbage_for_warmup(self):
        def spoil(path):
            (path / WARMUP).write_bytes(self.random.randbytes(10_000))

        return self.count(3, lambda: self._published(spoil))

    def fault_files_replaced_in_place(self):
        """Of the version that is served; they are as before in the end."""
        answers, kept = collections.Counter(), self.base.with_name("kept")
        version = self.base / str(min(self._available()))
        shutil.copytree(version, kept)
        for file in (each for each in version.rglob("*") if each.is_file()):
            file.write_bytes(self.random.randbytes(1000))
            answers[self.good_answer()] += 1
        time.sleep(0.5)  # some polls of other files
        answers[self.good_answer()] += 1
        for file in (each for each in kept.rglob("*") if each.is_file()):
            shutil.copy2(file, version / file.relative_to(kept))
        shutil.rmtree(kept)
        return answers

    def fault_rollback(self):
        """To the version before, under requests, and back to what is good."""
        answers = collections.Counter()
        for _ in range(3):
            number = self._publish(lambda path: None)
            self._wait_for(number, "AVAILABLE", answers)
            shutil.rmtree(self.base / str(number))
            self._wait_for(number, "END", answers)
        return answers

    def fault_disk_that_fills_during_a_copy(self):
        """The copy stops half way; once there is room it is done again."""
        number = self.unused_version()
        target = self.base / str(number)
        code = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2])"
        copied = subprocess.run(
            [sys.executable, "-c", code, str(self.base / "1"), str(target)],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (_FULL_AT_BYTES,) * 2),
            stderr=subprocess.DEVNULL,
        )
        seen = collections.Counter({"copy failed": int(copied.returncode != 0)})
        seen[self._outcome(number)] += 1
        shutil.copytree(self.base / "1", target, dirs_exist_ok=True)
        wait(lambda: self.server.states()[number][0] == "AVAILABLE")
        seen["served once whole"] += 1
        self._remove(number)
        return seen

    def fault_version_copied_file_by_file(self):
        """In any order, with polls between the files."""
        number, seen = self.unused_version(), collections.Counter()
        files = [each for each in (self.base / "1").rglob("*") if each.is_file()]
        self.random.shuffle(files)
        for file in files:
            target = self.base / str(number) / file.relative_to(self.base / "1")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
            time.sleep(0.3)  # the slowness is the fault
            seen[self.good_answer()] += 1
        wait(lambda: self.server.states()[number][0] == "AVAILABLE")
        seen["served once whole"] += 1
        self._remove(number)
        return seen

    def fault_base_path_back_with_a_new_version(self):
        elsewhere, number = self.base.with_name("elsewhere"), self.unused_version()
        self.base.rename(elsewhere)
        time.sleep(0.5)  # some polls of a directory that is not there
        answers = collections.Counter({self.good_answer(): 1})
        shutil.copytree(elsewhere / "1", elsewhere / str(number))
        elsewhere.rename(self.base)
        self._wait_for(number, "AVAILABLE", answers)
        self._remove(number)
        return answers

    def unused_version(self) -> int:
        """A number that no version has had."""
        return max(self.server.states()) + 1

    def _available(self):
        return [n for n, (state, _) in self.server.states().items() if state == "AVAILABLE"]

    def _flip(self, path, file=None):
        files = [each for each in path.rglob("*") if each.is_file() and each.stat().st_size]
        file = file or self.random.choice([f for f in files if f.suffix != ".json"])
        content = bytearray(file.read_bytes())
        content[self.random.randrange(len(content))] ^= 1 << self.random.randrange(8)
        file.write_bytes(content)

    def _publish(self, spoil):
        number = self.unused_version()
        beside = self.base / f".{number}"
        shutil.copytree(self.base / "1", beside)
        spoil(beside)
        beside.rename(self.base / str(number))
        return number

    def _published(self, spoil):
        """What became of a spoilt version, which is removed."""
        number = self._publish(spoil)
        outcome = self._outcome(number)
        self._remove(number)
        return outcome

    def _outcome(self, number):
        wait(lambda: self.server.states().get(number, "?")[0] in ("END", "AVAILABLE"))
        state, message = self.server.states()[number]
        if state == "AVAILABLE":
            return f"served, {self.good_answer()}"
        return "reported" if message else "silent"

    def _remove(self, number):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.base / str(number))
        wait(lambda: self.server.states()[number][0] == "END")

    def _wait_for(self, number, state, answers):
        """Asks until a version has a state, and counts the answers."""
        end = time.monotonic() + PATIENCE_SECONDS
        while self.server.states().get(number, "?")[0] != state:
            answers[self.good_answer()] += 1
            time.sleep(0.05)  # the version loads in what requests leave
            if time.monotonic() > end:
                raise TimeoutError(f"version {number} did not become {state}")
        answers[self.good_answer()] += 1


def wait(condition):
    """Polls until a condition holds."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the server did not notice")
        time.sleep(0.05)
