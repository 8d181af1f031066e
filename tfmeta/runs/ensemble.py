"""Several checkpoints of a run that answer together (Antoniou et al. 2019, MAML++)."""

import tensorflow as tf

from tfmeta import inner
from tfmeta.runs.checkpoints import Checkpoints
from tfmeta.runs.recipe import RunError


class Ensemble:
    """The best checkpoints of a learner, as a learner that can be evaluated.

    Each adapts to a task by itself; the answer is the mean of their raw outputs (logits), as in
    the authors' code. Between answers the learner's own values are back in its variables.

    Args:
        learner: a compiled learner.
        checkpoints: of its run.
        count: how many of the best.

    Attributes:
        steps: the members', the best first.

    Raises:
        RunError: if the run has fewer.
    """

    def __init__(self, learner, checkpoints: Checkpoints, count: int):
        self.steps = [each["step"] for each in checkpoints.ranking()][:count]
        if len(self.steps) < count:
            raise RunError(
                f"An ensemble of {count} needs as many best checkpoints. Received: "
                f"{len(self.steps)} in {checkpoints.folder}. Train with log.keep_best = {count} "
                "and validate.every, or lower evaluate.ensemble."
            )
        self.learner = learner
        self.loss = learner.loss
        self.normalization = learner.normalization
        self._variables = [*learner.parameter_variables, *learner.state_variables]
        # What answers depend on; the optimizer keeps its own.
        groups = {"parameters": learner.parameter_variables, "state": learner.state_variables}
        state = tf.train.Checkpoint(**{name: [v.value for v in g] for name, g in groups.items()})
        own, self._members = self._values(), []
        for step in self.steps:
            checkpoints.restore(step, state, counters=False)
            self._members.append(self._values())
        self._assign(own)

    def adaptation_curve(
        self, x, inner_steps=None, normalization=None, sample_weight=None, first_task=0
    ):
        """As `MetaLearner.adaptation_curve`, means over the members."""
        own, curves = self._values(), []
        for values in self._members:
            self._assign(values)
            curve = self.learner.adaptation_curve
            curves.append(curve(x, inner_steps, normalization, sample_weight, first_task))
        self._assign(own)
        outputs, losses = (
            tf.reduce_mean(tf.stack(each), axis=0) for each in zip(*curves, strict=True)
        )
        return inner.with_mask(outputs, *inner.masks_of(curves[0][0])), losses

    def _values(self):
        return [variable.numpy() for variable in self._variables]

    def _assign(self, values):
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)
