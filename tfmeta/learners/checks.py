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
    unbuilt = [
        layer.name
        for layer in network._flatten_layers()
        if not layer.built and not _is_lookup(layer)
    ]
    if unbuilt or not network.built:
        raise ValueError(
            "A learner needs a built network, whose weights exist. "
            f"Received: {network.name!r}, not built: {', '.join(unbuilt) or network.name}. "
            "Start it with keras.Input, or call it on one batch of inputs first."
        )
    outputs = getattr(network, "_outputs_struct", None)
    if outputs is not None and not isinstance(outputs, keras.KerasTensor):
        count = len(keras.tree.flatten(outputs))
        raise ValueError(
            f"A network must have one output. Received: {network.name!r} with "
            f"{count} in a {type(outputs).__name__}. Take one: keras.Model(network.inputs, "
            "network.outputs[0])."
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


def _is_lookup(layer):
    # It has no weights: its table is made with its vocabulary.
    return isinstance(layer, (keras.layers.StringLookup, keras.layers.IntegerLookup))


def check_layers(pure):
    """Raises a ValueError that names layers which draw or assign what a learner cannot honour."""
    if pure.study is not None:
        inner.refuse(pure.network, pure.study, pure.dropout)


def check_constraints(paths, reason):
    """Raises a ValueError where weights that adapt have constraints that a learner cannot keep.

    Args:
        paths: of the weights that adapt and have a constraint.
        reason: None where they are kept, else why they are not, a clause.
    """
    if paths and reason:
        raise ValueError(
            f"Weight constraints must hold for adapted weights, but {reason}. Received: "
            f"constraints of {', '.join(paths)}. Leave the constraints out, leave these weights "
            "out by `adapted=`, or take tfmeta.MAML."
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


def check_noise(noise):
    """Returns a regression's noise; raises a ValueError unless it is above 0."""
    if not noise > 0:
        raise ValueError(
            f"noise must be above 0. Received: {noise!r}. "
            "Pass the standard deviation of the targets around the network's output."
        )
    return noise


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


def check_likelihood(learner, loss_function):
    """Refuses what makes a loss another than the negative log-likelihood that is descended.

    Args:
        learner: name of the learner's class.
        loss_function: `inner.SetLoss`.
    """
    loss, kind = loss_function.loss, loss_function.kind
    for what, value, usual in (
        ("label_smoothing", kind.label_smoothing, 0.0),
        ("reduction", loss.reduction if loss_function.sums else None, None),
        ("loss_weights", loss_function.factor, 1.0),
        ("loss", loss.name if _redefines(loss) else None, None),
    ):
        if value != usual:
            raise ValueError(
                f"{learner} descends the likelihood that a loss stands for, a mean over queries. "
                f"Received: {what}={value!r}. Leave it out, or take tfmeta.MAML."
            )


def _redefines(loss):
    """Whether a subclass of a Keras loss computes by code of its own."""
    return any(
        name in vars(cls) and not cls.__module__.startswith(("keras.", "tfmeta."))
        for cls in type(loss).__mro__
        for name in ("call", "__call__")
    )


def check_loss_weights(loss_weights) -> float:
    """Returns the factor of the one loss.

    Raises:
        ValueError: unless it is a number, or a list of one.
    """
    found = loss_weights
    if isinstance(found, (list, tuple)) and len(found) == 1:
        found = found[0]
    if found is None:
        return 1.0
    if isinstance(found, bool) or not isinstance(found, (int, float, np.number)):
        raise ValueError(
            "loss_weights must be one number, the factor of the one loss. "
            f"Received: loss_weights={loss_weights!r}. Pass a number."
        )
    return float(found)


def check_class_axis(loss_function, network):
    """Raises a ValueError for a cross-entropy whose classes are not the last axis."""
    kind, shape = loss_function.kind, getattr(network, "output_shape", None)
    last = len(shape) - 1 if isinstance(shape, tuple) else -1
    if kind.is_classification and kind.axis not in (-1, last):
        raise ValueError(
            "The classes of a learner's outputs are their last axis. Received: "
            f"{loss_function.loss.name!r} with axis={kind.axis}. Move the axis with "
            "keras.layers.Permute, and leave `axis` out."
        )


def warn_of_logits(loss_function, network):
    """Warns where a network's outputs are logits and its cross-entropy expects probabilities."""
    kind = loss_function.kind
    if not kind.is_classification or kind.from_logits or not _ends_linearly(network):
        return
    warnings.warn(
        f"The loss {loss_function.loss.name!r} expects probabilities (from_logits=False), but the "
        f"last layer of {network.name!r} has no activation: its outputs are logits. Compile with "
        "the loss's class and from_logits=True, or end the network in a softmax or sigmoid.",
        stacklevel=3,
    )


# Layers that pass numbers on as they are.
_PASSING = (
    keras.layers.Reshape,
    keras.layers.Flatten,
    keras.layers.Permute,
    keras.layers.Identity,
    keras.layers.Dropout,
)


def _ends_linearly(network) -> bool:
    """Whether the last layer of a functional or sequential network is without an activation."""
    outputs = getattr(network, "outputs", None)
    tensor = outputs[0] if outputs else None
    while tensor is not None:
        layer = tensor._keras_history.operation
        if isinstance(layer, keras.layers.TimeDistributed):
            layer = layer.layer
        if isinstance(layer, keras.Model):
            return _ends_linearly(layer)
        if not isinstance(layer, _PASSING):
            return getattr(layer, "activation", None) is keras.activations.linear
        tensor = layer.input
    return False


def check_one_answer(learner, network):
    """Raises a ValueError for a network that answers each step or pixel of an example.

    Args:
        learner: name of the learner's class, which compares whole examples.
        network: the `keras.Model`.
    """
    shape = getattr(network, "output_shape", None)
    if isinstance(shape, tuple) and len(shape) > 2:
        raise ValueError(
            f"{learner} compares whole examples: a network's outputs are [examples, ways]. "
            f"Received: {network.name!r} with outputs {shape}. Pool over steps or pixels before "
            "the last layer, or take tfmeta.FineTuning."
        )


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
    """Assertions that sparse labels are below `ways` or ignored; empty where none apply."""
    if ways is None:
        return []
    assertions = []
    for name, examples, kind in (
        ("support_y", task.support, learner.inner_loss_function.kind),
        ("query_y", task.query, learner.loss_function.kind),
    ):
        if examples.targets is None or kind.target != "sparse":
            continue
        labels = tf.cast(examples.targets, tf.int64)
        valid = (labels >= 0) & (labels < ways)
        ignored = ""
        if kind.ignore_class is not None:
            valid |= labels == kind.ignore_class
            ignored = f", or the ignored class {kind.ignore_class}"
        valid = tf.reduce_all(valid)
        message = (
            f"{name} must be from 0 to {ways - 1}, for {ways} outputs{ignored}. Build the network "
            "with more ways, or relabel the tasks. Received labels from, to:"
        )
        assertion = tf.debugging.Assert(
            valid, [message, tf.reduce_min(labels), tf.reduce_max(labels)]
        )
        if assertion is not None:
            assertions.append(assertion)
    return assertions
