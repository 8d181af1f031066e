"""What the end of a run shows of a policy: its paths, and its export loaded back."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfmeta.runs import building, pictures
from tfmeta.runs.recipe.settings import Settings

_PICTURE_TASKS = 3
_PICTURE_TRAJECTORIES = 10


def draw_paths(settings: Settings, path: Path, learner) -> None:
    """Writes a picture: trajectories in held-out navigation tasks before and after an update.

    There is none of a policy that does not adapt, such as an oracle's.
    """
    if not learner.test_inner_steps:
        return
    options = settings.evaluate
    stream = building.held_out_stream(settings, options.split, options.seed)
    batch = next(iter(stream.batch(_PICTURE_TASKS)))
    goals = batch[0][:, 0].numpy()
    positions = [_positions(one) for one in learner.trajectories(batch, inner_steps=1)]
    steps = np.arange(learner.environment.horizon + 1)[:, None]
    reach = learner.environment.speed * steps
    best = [np.clip(goal, -reach, reach) for goal in goals]
    pictures.paths(positions, goals, np.asarray(best), path)


def _positions(trajectories):
    """For each task a list of the positions [steps, 2] of its first trajectories."""
    observations, lasts = trajectories.observations.numpy(), trajectories.mask.numpy() > 0
    return [
        [path[last] for path, last in zip(paths, lasting, strict=True)][:_PICTURE_TRAJECTORIES]
        for paths, lasting in zip(observations, lasts, strict=True)
    ]


def check_export(learner, stream, directory: Path, adapt_and_act) -> str:
    """Adapts to a held-out task through a loaded signature, and says how it did.

    Args:
        learner: the policy that was exported.
        stream: of held-out tasks.
        directory: of the export.
        adapt_and_act: the signature.
    """
    batch = next(iter(stream.batch(1)))
    before, after = (
        tf.nest.map_structure(lambda tensor: tensor[0], one)
        for one in learner.trajectories(batch, inner_steps=1)
    )
    width = learner.environment.action_size
    queries = after.observations[:, 0]
    answer = adapt_and_act(
        observations=tf.cast(before.observations, tf.float32),
        actions=tf.cast(before.actions, tf.float32),
        rewards=tf.cast(before.rewards, tf.float32),
        mask=tf.cast(before.mask, tf.float32),
        query_observations=tf.cast(queries, tf.float32),
    )
    own = tf.cast(after.policy_outputs[:, 0, :width], tf.float32)
    moved = tf.cast(before.policy_outputs[:, 0, :width], tf.float32)
    apart = float(tf.reduce_max(tf.abs(answer["mean"] - own)))
    return (
        f"\nexport: loaded {directory} and adapted to a held-out task through its signature "
        f"adapt_and_act: the first actions' means moved by up to "
        f"{float(tf.reduce_max(tf.abs(answer['mean'] - moved))):.3f}, and are within {apart:.1e} "
        "of the learner's own"
    )
