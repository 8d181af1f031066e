"""What a person sees of a run."""

import io

from tfmeta.runs.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_plain_lines_with_loss_accuracy_rate_and_the_last_step():
    log = io.StringIO()
    progress = Progress(10, file=log)
    progress.update(5, {"loss": 0.5, "accuracy": 0.25, "support_loss": 1.0}, 12.34)
    progress.update(10, {"loss": 0.125, "accuracy": 0.75, "support_loss": 1.0}, 12.34)
    progress.close()
    # The first line comes too early to be worth one.
    assert log.getvalue() == "step 10/10, loss 0.1250, accuracy 0.7500, 12.3 tasks/s\n"


def test_a_terminal_gets_one_moving_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "40")
    terminal = Terminal()
    progress = Progress(10, file=terminal)
    progress.say("building")
    progress.update(5, {"loss": 0.5, "accuracy": 0.25}, 1200.0)
    progress.close()
    progress.say("done")
    shown = terminal.getvalue()
    assert "step 5/10" in shown
    assert "loss 0.5000, accuracy 0.2500, 1.2e+03 tasks/s" in shown
    assert "left" in shown
    assert "building\n" in shown
    assert shown.endswith("done\n")
