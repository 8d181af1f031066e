"""What the end of a run shows of sinusoids: the network before and after adaptation."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfmeta.learners.contracts import SamplesAnswers
from tfmeta.runs import building, pictures
from tfmeta.runs.recipe.settings import Settings
from tfmeta.tasks.sinusoid import sinusoid_curve, sinusoid_parameters

_PICTURE_TASKS = 3
_PICTURE_STEPS = (0, 1, 10)
_PICTURE_POINTS = 200


def draw_adaptation(settings: Settings, path: Path, learner) -> None:
    """Writes a picture: truth, support points, the network before and after adaptation."""
    options = settings.evaluate
    stream = building.held_out_stream(
        settings, options.split, options.seed, building.first_shots(settings)
    )
    info = stream.info
    if info["input_dim"] != 1 or info["output_dim"] != 1:
        return
    (support_x, support_y, _), _ = next(iter(stream.batch(_PICTURE_TASKS)))
    x = np.linspace(*info["inputs"], _PICTURE_POINTS, dtype="float32")
    queries = tf.tile(x[None, :, None], [_PICTURE_TASKS, 1, 1])
    steps = max(max(_PICTURE_STEPS), learner.test_inner_steps)
    outputs, _ = learner.adaptation_curve((support_x, support_y, queries), inner_steps=steps)
    ranges = {name: tuple(info[name]) for name in ("amplitudes", "phases")}
    truth = [
        sinusoid_curve(
            x[:, None], *sinusoid_parameters(options.seed, task, options.split, **ranges)
        )
        for task in range(_PICTURE_TASKS)
    ]
    bands = None
    if isinstance(learner, SamplesAnswers):
        found = learner.predictive((support_x, support_y, queries), inner_steps=steps)
        bands = {"samples": found.samples.numpy()[..., 0], "std": found.std.numpy()[..., 0]}
        bands["std"] = np.sqrt(bands["std"] ** 2 + learner.noise**2)
    curves = {
        "bands": bands,
        "support_x": support_x.numpy(),
        "support_y": support_y.numpy(),
        "x": x,
        "truth": np.asarray(truth)[..., 0],
        "predictions": {step: outputs.numpy()[:, step, :, 0] for step in _PICTURE_STEPS},
    }
    pictures.sinusoid_adaptation(curves, path)
