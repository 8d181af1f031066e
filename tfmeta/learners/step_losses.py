"""How much the query loss after each inner step counts (Antoniou et al. 2019, MAML++)."""

import tensorflow as tf

# Of an equal share: what is left of the earlier steps at the end of the annealing (their code).
_LEAST = 0.03


def step_loss_weights(progress, steps, dtype="float32"):
    """Weights [steps] of the query losses after steps 1, ..., n; their sum is 1.

    At first every step counts 1/n. The share of the earlier ones falls linearly, to 0.03/n, and
    the last step gains what they lose: v_i = max((1 - p) / n, 0.03 / n) for i < n, v_n the rest.

    Example:
        >>> from tfmeta.learners.step_losses import step_loss_weights
        >>> [round(float(weight), 3) for weight in step_loss_weights(0.5, 4)]
        [0.125, 0.125, 0.125, 0.625]

    Args:
        progress: p, from 0 at the start of the annealing to 1 at its end; a number, or a tensor
            [] of `dtype`.
        steps: n, number of inner steps.
        dtype: of the result.
    """
    progress = tf.convert_to_tensor(progress, dtype)
    earlier = tf.maximum(1 - progress, tf.constant(_LEAST, dtype)) / steps
    return tf.concat([tf.repeat(earlier, steps - 1), [1 - (steps - 1) * earlier]], axis=0)
