"""What a command does around its own work."""

import sys
import types
import warnings

from tfmeta.commands import running


def test_a_warning_is_one_line_of_words(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(running.app, "run", lambda *_, **__: None)
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    running.run(lambda: 0, "what --help shows")
    said = warnings.formatwarning("Half are kept.", UserWarning, "config.py", 85, "return f()")
    assert said == "warning: Half are kept.\n"
