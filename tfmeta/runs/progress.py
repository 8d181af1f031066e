"""What a person sees of a run: one moving line on a terminal, plain lines in a log."""

import sys
import time

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """Step, loss, accuracy, tasks per second and time left.

    Args:
        steps: of the whole run.
        step: where it starts.
        file: where to; standard error if None.
    """

    def __init__(self, steps: int, step: int = 0, file=None):
        self.steps = steps
        self.file = file or sys.stderr
        self._terminal = self.file.isatty()
        self._said = time.monotonic()
        self._began, self._first = self._said, step
        self._bar = None
        if self._terminal:
            self._bar = tqdm(
                total=steps, initial=step, file=self.file, unit="step", dynamic_ncols=True,
                bar_format="step {n_fmt}/{total_fmt} |{bar:10}| {postfix[0]}, {remaining} left",
                postfix=["starting"],
            )  # fmt: skip

    def update(self, step: int, values: dict[str, float], tasks_per_second: float) -> None:
        """Shows where the run stands."""
        shown = [f"{name} {value:.4f}" for name, value in values.items() if name in _SHOWN]
        shown.append(f"{tasks_per_second:.3g} tasks/s")
        if self._bar is not None:
            self._bar.postfix[0] = ", ".join(shown)
            self._bar.update(step - self._bar.n)
        elif time.monotonic() - self._said > _SECONDS_BETWEEN_LINES or step >= self.steps:
            self._said = time.monotonic()
            left = self._left(step)
            self.say(f"step {step}/{self.steps}, {', '.join(shown)}{left}")

    def start(self, step: int) -> None:
        """Begins to measure the time left; called after the first steps, which compile."""
        self._began, self._first = time.monotonic(), step

    def say(self, text: str) -> None:
        """Prints a line without breaking the moving one."""
        if self._bar is not None:
            self._bar.write(text, file=self.file)
        else:
            print(text, file=self.file, flush=True)

    def close(self) -> None:
        """Leaves the moving line; from then on lines are printed plainly."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _left(self, step: int) -> str:
        done = step - self._first
        if done <= 0 or step >= self.steps:
            return ""
        seconds = (time.monotonic() - self._began) / done * (self.steps - step)
        return f", {tqdm.format_interval(seconds)} left"


_SHOWN = ("loss", "accuracy", "query_loss", "query_accuracy")
