"""One fault: a line of the library changed, and the tests that should see it."""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class Fault:
    """A plausible mistake.

    Attributes:
        name: what goes wrong, in words.
        file: path of the changed file, from the root of the repository.
        old: text of the file; it occurs once.
        new: text in its place.
        tests: arguments of pytest that select tests which should fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def applied(self, root: pathlib.Path) -> str | None:
        """Returns the file's text with the fault in it; None where `old` doesn't occur once."""
        path = root / self.file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return text.replace(self.old, self.new) if text.count(self.old) == 1 else None


class Faults(list):
    """Faults of a part of the library, added one by one."""

    def add(self, name: str, file: str, old: str, new: str, *tests: str) -> None:
        """Adds a fault; arguments as the fields of `Fault`."""
        self.append(Fault(name, file, old, new, tests))
