"""What classifiers answered, and what one is worth beside another: accuracy and calibration."""

from typing import NamedTuple

import numpy as np

from benchmarks.intervals import bootstrap, interval
from tfmeta.evaluation.calibration import reliability

LEAST = 1e-12  # of a probability, so that one certain error is not infinite


class Answers(NamedTuple):
    """What a learner says of the queries of each task [tasks, queries]."""

    confidences: np.ndarray
    right: np.ndarray
    likelihoods: np.ndarray

    def error(self, tasks) -> float:
        """The expected calibration error on some of the tasks."""
        return reliability(self.confidences[tasks], self.right[tasks])["calibration_error"]


def answered(probabilities, targets, temperature=1.0) -> Answers:
    """The answers that probabilities give.

    Args:
        probabilities: [tasks, queries, ways].
        targets: the right class [tasks, queries].
        temperature: probabilities are taken to the power of 1 / temperature, and sum to 1 again.
    """
    logs = np.log(np.maximum(probabilities, LEAST)) / temperature
    logs -= np.logaddexp.reduce(logs, axis=-1, keepdims=True)
    chosen = np.take_along_axis(logs, targets[..., None], axis=-1)[..., 0]
    return Answers(np.exp(logs.max(axis=-1)), logs.argmax(axis=-1) == targets, chosen)


def figures(own: Answers, maml: Answers) -> dict:
    """Accuracy, likelihood and calibration of a learner, and what they are beside MAML's."""
    tasks = len(own.right)
    by_task = {
        "accuracy": (own.right.mean(axis=1), maml.right.mean(axis=1)),
        "negative_log_likelihood": (-own.likelihoods.mean(axis=1), -maml.likelihoods.mean(axis=1)),
    }
    return {
        **{name: interval(mine) for name, (mine, _) in by_task.items()},
        "calibration_error": bootstrap(own.error, tasks),
        "bins": reliability(own.confidences, own.right)["bins"],
        "minus_maml": {
            **{name: interval(mine - theirs) for name, (mine, theirs) in by_task.items()},
            "calibration_error": bootstrap(lambda t: own.error(t) - maml.error(t), tasks),
        },
    }


def joined(by_seed: list[Answers]) -> Answers:
    """The answers of all seeds to each task, as those of more queries."""
    return Answers(*(np.concatenate(parts, axis=1) for parts in zip(*by_seed, strict=True)))
