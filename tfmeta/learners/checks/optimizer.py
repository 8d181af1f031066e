"""What a learner refuses of the outer optimiser and of several replicas."""

import keras
import tensorflow as tf


def check_optimizer(optimizer, meta_gradient_clip=None):
    """Refuses what an optimizer can't do with a meta-gradient.

    Raises:
        ValueError: for loss scaling, since the meta-gradient is given to the optimizer unscaled;
            for a clip of each batch's gradient where the optimizer accumulates those of several.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            "The meta-gradient is not scaled, so it must not be unscaled. "
            f"Received: {type(optimizer).__name__}. Pass the optimizer it wraps."
        )
    accumulated = optimizer.gradient_accumulation_steps
    if accumulated and meta_gradient_clip is not None:
        raise ValueError(
            "meta_gradient_clip clips the gradient of a batch, before the optimizer accumulates "
            f"it. Received: meta_gradient_clip={meta_gradient_clip} with "
            f"gradient_accumulation_steps={accumulated}. Pass clipvalue={meta_gradient_clip} to "
            "the optimizer, which clips what it has accumulated."
        )


def check_replicas(learner):
    """Raises a ValueError where several replicas can't compute the step of one device."""
    if learner.chains_state:
        raise ValueError(
            "carry_moments hands the inner optimizer's moments from each task to the next, which "
            "tasks on several replicas can't do. Received: carry_moments=True under a "
            f"{type(learner.distribute_strategy).__name__}. Pass carry_moments=False, or train "
            "on one device."
        )


def check_one_replica():
    """Raises a ValueError in the replica context of several replicas."""
    context = tf.distribute.get_replica_context()
    if context is not None and context.num_replicas_in_sync > 1:
        raise ValueError(
            "A meta-gradient is applied once for all replicas, since an optimizer sums what each "
            f"applies. Received: a call in the context of {context.num_replicas_in_sync} replicas. "
            "Return the gradients of compute_meta_gradient from strategy.run, take "
            "strategy.reduce('MEAN', ...), and apply these; or call fit."
        )
