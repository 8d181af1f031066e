"""What a learner refuses, with the rule, what it received, and what to do."""

import warnings

import keras
import numpy as np
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners import normalization as modes
from tfmeta.parallel.map_tasks import PARALLEL


def check_network(network):
    """Raises unless `network` is a built Keras model with weights to train."""
    if not isinstance(network, keras.Model):
        raise TypeError(
            "A learner wraps a keras.Model. "
            f"Received: {type(network).__name__}. Put a layer into keras.Sequential."
        )
    unbuilt = [layer.name for layer in network._flatten_layers() if not layer.built]
    if unbuilt or not network.built:
        raise ValueError(
            "A learner needs a built network, whose weights exist. "
            f"Received: {network.name!r}, not built: {', '.join(unbuilt) or network.name}. "
            "Start it with keras.Input, or call it on one batch of inputs first."
        )
    if len(getattr(network, "outputs", None) or [network]) > 1:
        raise ValueError(
            f"A network must have one output. Received: {network.name!r} with "
            f"{len(network.outputs)}. Take one: keras.Model(network.inputs, network.outputs[0])."
        )
    if not network.trainable_variables:
        raise ValueError(
            "A learner needs weights to train. "
            f"Received: {network.name!r} without trainable weights. Set layer.trainable = True."
        )
    half = [layer.name for layer in network._flatten_layers() if layer.compute_dtype == "float16"]
    if half:
        raise ValueError(
            "Inner gradients in float16 underflow without loss scaling, which the inner loop has "
            f"not. Received: float16 layers {', '.join(half)}. Use the policy 'mixed_bfloat16'."
        )


def check_options(
    *,
    inner_steps=0,
    test_inner_steps=None,
    normalization="transductive",
    parallel="auto",
    meta_gradient_clip=None,
):
    """Raises a ValueError for an option out of its range."""
    for name, steps in (("inner_steps", inner_steps), ("test_inner_steps", test_inner_steps)):
        if steps is not None and (not isinstance(steps, int) or steps < 0):
            raise ValueError(f"{name} must be a whole number, 0 or more. Received: {steps!r}.")
    modes.check(normalization)
    if parallel not in PARALLEL:
        raise ValueError(
            f"parallel must be one of {', '.join(map(repr, PARALLEL))}. Received: {parallel!r}."
        )
    if meta_gradient_clip is not None and not meta_gradient_clip > 0:
        raise ValueError(
            f"meta_gradient_clip must be above 0 or None. Received: {meta_gradient_clip!r}."
        )


def check_samples(samples):
    """Returns the number of samples; raises a ValueError unless it is a whole one, 1 or more."""
    if not isinstance(samples, int) or samples < 1:
        raise ValueError(
            f"samples must be a whole number, 1 or more. Received: {samples!r}. "
            "Pass how many weights to draw for a task."
        )
    return samples


def check_rates(rates):
    """Raises a ValueError unless each rate is a finite number, 0 or more."""
    for rate in rates:
        number = isinstance(rate, (int, float, np.number)) and not isinstance(rate, bool)
        if not number or not 0 <= rate < np.inf:
            raise ValueError(
                f"inner_rate must be a finite number, 0 or more. Received: {rate!r}. "
                "Pass a number, or a dict from patterns on weight paths to numbers."
            )


def check_weights(learner):
    """Raises a ValueError if layers were frozen or unfrozen after the network was wrapped."""
    now, wrapped = learner.network_paths, list(learner.wrapped_paths)
    if now != wrapped:
        changed = sorted(set(now) ^ set(wrapped)) or now
        raise ValueError(
            "A learner keeps the weights that were trainable when it was made. "
            f"Received: {learner.network.name!r}, changed since: {', '.join(changed)}. "
            "Set layer.trainable first, then make the learner."
        )


def check_loss(loss):
    """Raises a ValueError unless there is exactly one loss."""
    if loss is None or isinstance(loss, (list, tuple, dict)):
        raise ValueError(
            "A learner needs one loss, of its network's one output. "
            f"Received: loss={loss!r}. Pass a Keras loss, its name, or a function."
        )


def check_optimizer(optimizer):
    """Refuses loss scaling: the meta-gradient is given to the optimizer unscaled."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            "The meta-gradient is not scaled, so it must not be unscaled. "
            f"Received: {type(optimizer).__name__}. Pass the optimizer it wraps."
        )


def check_exactness(learner):
    """Names layers through which a meta-gradient with second derivatives is not exact.

    Warns where TensorFlow drops a derivative silently; raises a ValueError where it has none.
    """
    if not learner.second_order:
        return
    findings = inner.check_exactness(learner.network, learner.adapted_indices)
    refused = [finding for finding in findings if finding.refused]
    advice = "Or leave second derivatives out: MAML(first_order=True), Reptile."
    if refused:
        raise ValueError(
            "A meta-gradient with second derivatives needs layers that have them. "
            f"Received: {' '.join(map(str, refused))} {advice}"
        )
    if findings:
        warnings.warn(
            "The meta-gradient will not be exact. A second derivative is missing in: "
            f"{' '.join(map(str, findings))} {advice}",
            stacklevel=3,
        )


def check_compiled(learner):
    """Raises a ValueError before `compile`, which says what the loss is."""
    if learner.loss_function is None:
        raise ValueError(
            "Adapting needs a loss. Received: a learner that is not compiled. "
            "Call learner.compile(optimizer, loss) first."
        )
    check_weights(learner)


def label_assertions(learner, task, ways):
    """Assertions that integer labels are below `ways`; empty where none apply."""
    if ways is None:
        return []
    assertions = []
    for name, examples, loss in (
        ("support_y", task.support, learner.inner_loss_function.loss),
        ("query_y", task.query, learner.loss_function.loss),
    ):
        sparse = isinstance(loss, keras.losses.SparseCategoricalCrossentropy)
        if examples.targets is None or not sparse:
            continue
        labels = tf.cast(examples.targets, tf.int64)
        valid = tf.reduce_all((labels >= 0) & (labels < ways))
        message = (
            f"{name} must be from 0 to {ways - 1}, for {ways} outputs. Build the network with more "
            "ways, or relabel the tasks. Received labels from, to:"
        )
        assertion = tf.debugging.Assert(
            valid, [message, tf.reduce_min(labels), tf.reduce_max(labels)]
        )
        if assertion is not None:
            assertions.append(assertion)
    return assertions
