"""Keras callbacks in a run, whose epochs are the steps from checkpoint to checkpoint."""

from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np

from tfmeta.runs.recipe import RecipeError

_OWN = ("BackupAndRestore", "ProgbarLogger")  # what a run does by itself


class RunCallbacks:
    """Calls Keras callbacks as `fit` does, with the learner as their model.

    An epoch is `log.checkpoint_every` steps; the last one may be shorter. A resumed run tells
    `params["initial_epoch"]`, and begins with that epoch. `on_train_batch_end` is called after
    each stretch of steps that the run computes at once, as Keras does with `steps_per_execution`.

    Args:
        makers: callables without arguments that give callbacks; none: nothing is called.
        learner: the callbacks' model.
        steps: of the whole run.
        every: steps of an epoch.
        step: from which the run goes on.

    Raises:
        RecipeError: if a maker gives no Keras callback, or one of what a run does by itself.
    """

    def __init__(self, makers: Sequence[Callable], learner, steps: int, every: int, step: int):
        made = [_checked(maker()) for maker in makers]
        self.active = bool(made)
        self._learner, self._steps, self._every = learner, steps, every
        self._list = None
        if made:
            self._list = keras.callbacks.CallbackList(
                made,
                model=learner,
                epochs=-(-steps // every),
                steps=every,
                verbose=0,
                initial_epoch=step // every,
            )
            learner.stop_training = False
            self._list.on_train_begin()

    def before(self, step: int, first: bool) -> None:
        """Says what begins at a step.

        Args:
            step: that the run stands at.
            first: whether the session begins here.
        """
        if self.active and (first or step % self._every == 0):
            self._list.on_epoch_begin(step // self._every)
        if self.active:
            self._list.on_train_batch_begin(step % self._every)

    def after(self, step: int, values: Mapping[str, float]) -> None:
        """Says that steps are done.

        Args:
            step: that the run stands at.
            values: means since the last row of metrics.csv.
        """
        if self.active:
            self._list.on_train_batch_end((step - 1) % self._every, dict(values))

    def ends_epoch(self, step: int) -> bool:
        """Whether an epoch ends at a step, or a callback has ended it there."""
        ended = step % self._every == 0 or step == self._steps
        return self.active and (ended or self.stop)

    def end_epoch(self, step: int, row: Mapping[str, float | None]) -> None:
        """Says that an epoch ended.

        Args:
            step: that the run stands at.
            row: of metrics.csv by columns; None is a mean that is not finite.
        """
        logs = {name: float("nan") if value is None else value for name, value in row.items()}
        self._list.on_epoch_end((step - 1) // self._every, logs)

    @property
    def stop(self) -> bool:
        """Whether a callback has set the learner's `stop_training`."""
        return self.active and bool(self._learner.stop_training)

    def end(self) -> bool:
        """Says that training is over; not called where a run was interrupted.

        Returns:
            Whether that changed the learner's weights, as `EarlyStopping` does that restores the
            best ones.
        """
        if not self.active:
            return False
        before = self._learner.get_weights()
        self._list.on_train_end()
        pairs = zip(before, self._learner.get_weights(), strict=True)
        return any(not np.array_equal(old, new) for old, new in pairs)


def _checked(callback) -> keras.callbacks.Callback:
    name = type(callback).__name__
    if not isinstance(callback, keras.callbacks.Callback):
        raise RecipeError(
            "run.callbacks must name what gives keras.callbacks.Callback objects, such as "
            f"@EarlyStopping. Received: {name}."
        )
    if name in _OWN:
        raise RecipeError(
            f"A run saves and shows its progress by itself. Received: {name} in run.callbacks. "
            "Leave it out."
        )
    return callback
