"""What a learner refuses of a network, and of itself before it is compiled."""

import warnings

import keras

from tfmeta import inner
from tfmeta.learners.contracts import Adapts

_AVERAGING = keras.layers.BatchNormalization  # Frozen, it reads its averages in training too.
# Methods of a model by which Keras trains it, but not a learner that wraps it.
_STEPS = ("train_step", "test_step")
_TRAINING_METHODS = (*_STEPS, "compute_loss", "compute_metrics")


def check_network(network):
    """Raises unless `network` is a built Keras model with weights to train."""
    if not isinstance(network, keras.Model):
        raise TypeError(
            "A learner wraps a keras.Model. "
            f"Received: {type(network).__name__}. Put a layer into keras.Sequential."
        )
    if isinstance(network, Adapts):
        raise TypeError(
            "A learner wraps a network, which answers examples. "
            f"Received: {type(network).__name__}, a learner. Wrap its network: learner.network."
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
    _check_scopes(network)
    if _is_own_method(network, "__call__"):
        raise ValueError(
            "A learner runs the `call` of its network, as keras.Model.stateless_call does. "
            f"Received: {type(network).__name__}, which defines `__call__`. Define `call`."
        )
    own = [name for name in _TRAINING_METHODS if _is_own_method(network, name)]
    if own:
        warnings.warn(
            f"A learner trains its network by its own steps, not by {', '.join(own)} of "
            f"{type(network).__name__}. Put further losses into `call`, with `self.add_loss`.",
            stacklevel=4,
        )


def _check_scopes(network):
    """Raises a ValueError for layers whose calls or weights Keras treats in a way of its own."""
    layers = network._flatten_layers()
    again = [layer.name for layer in layers if getattr(layer, "_remat_mode", None) is not None]
    if again:
        raise ValueError(
            "Layers under keras.RematScope don't run within a learner's compiled functions. "
            f"Received: layers made in such a scope: {', '.join(again)}. Make the network outside "
            "of it, and pass the learner rematerialize=True, which computes inner steps again."
        )
    overwritten = [
        variable.path
        for variable in network.variables
        if getattr(variable, "overwrite_with_gradient", False)
    ]
    if overwritten:
        raise ValueError(
            "A learner steps along gradients, which are new values for some weights of float8 "
            f"layers. Received: {', '.join(overwritten[:3])}. Leave quantize('float8') out."
        )


def no_quantize(received):
    """The error of `quantize`; `received` says of what, and why not."""
    return ValueError(
        f"Keras quantizes the layers of a network. Received: quantize of {received}. Quantize the "
        "network before the learner is made; its quantized kernels then stand still."
    )


def check_own_methods(learner):
    """Raises a ValueError for a learner's own methods that its steps would not call.

    Keras' steps call `compute_loss` and `compute_metrics`, and several replicas `train_step`.
    """
    own = [name for name in _TRAINING_METHODS if _is_own_method(learner, name)]
    measures = [name for name in own if name not in _STEPS]
    if measures and not set(_STEPS) <= set(own):
        raise ValueError(
            f"A learner's steps don't call {' or '.join(measures)}. Received: "
            f"{type(learner).__name__}, which defines {', '.join(own)}. Pass the loss and metrics "
            f"to compile, or define {' and '.join(_STEPS)} that call it."
        )
    count = learner.distribute_strategy.num_replicas_in_sync
    if "train_step" in own and count > 1:
        raise ValueError(
            "On several replicas a meta-step is taken once for all of them. Received: "
            f"{type(learner).__name__}, which defines train_step, on {count} replicas. Train on "
            "one device, or by a loop of your own with compute_meta_gradient in strategy.run."
        )


def _is_own_method(model, name):
    """Whether a method is neither Keras' nor of a model of this library."""
    for cls in type(model).__mro__:
        if name in vars(cls):
            return not cls.__module__.startswith(("keras.", "tfmeta."))
    return False


def _is_lookup(layer):
    # It has no weights: its table is made with its vocabulary.
    return isinstance(layer, (keras.layers.StringLookup, keras.layers.IntegerLookup))


def check_layers(pure):
    """Raises a ValueError that names layers which draw or assign what a learner cannot honour."""
    if pure.study is not None:
        inner.refuse(pure.network, pure.study, pure.dropout)


def check_effect(network, adapted, normalization=None):
    """Raises a ValueError where the weights that adapt change no answer of the network.

    Args:
        network: the learner's `TaskNetwork`.
        adapted: the patterns given by the user.
        normalization: in which queries are answered; None: the network's.
    """
    mode = normalization or network.normalization
    if inner.have_effect(network.pure, network.adapted, training=mode != "running"):
        return
    raise ValueError(
        "Weights that adapt must change the answers. Received: "
        f"adapted={adapted!r}, that is {', '.join(network.adapted_paths)}, on which no answer "
        f"depends with normalization={mode!r}. Batch normalisation takes away "
        "what a bias before it adds. Let other weights adapt, or pass normalization='running'."
    )


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


def layers_of(network):
    """Layers of a network, and which batch normalisation is frozen, as a tuple to compare."""
    return tuple(
        (id(layer), layer.name, isinstance(layer, _AVERAGING) and not layer.trainable)
        for layer in network._flatten_layers()
        if not isinstance(layer, keras.Model)
    )


def check_compiled(learner):
    """Raises a ValueError before `compile`, which says what the loss is."""
    if learner.loss_function is None:
        raise ValueError(
            "Adapting needs a loss. Received: a learner that is not compiled. "
            "Call learner.compile(optimizer, loss) first."
        )
    check_weights(learner)


def check_weights(learner):
    """Raises a ValueError if layers came, went, were frozen or unfrozen after the wrapping."""
    now, wrapped = learner.task_network.paths, list(learner.wrapped_paths)
    if now != wrapped:
        changed = sorted(set(now) ^ set(wrapped)) or now
        raise ValueError(
            "A learner keeps the weights that were trainable when it was made. "
            f"Received: {learner.network.name!r}, changed since: {', '.join(changed)}. "
            "Set layer.trainable first, then make the learner."
        )
    layers = layers_of(learner.network)
    if layers != learner.wrapped_layers:
        changed = sorted({name for _, name, _ in set(layers) ^ set(learner.wrapped_layers)})
        raise ValueError(
            "A learner keeps the layers that its network had when it was made, frozen or not. "
            f"Received: {learner.network.name!r}, changed since: {', '.join(changed)}. Change the "
            "network first, then make the learner."
        )


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


def check_exactness(learner):
    """Names layers through which a meta-gradient with second derivatives is not exact.

    Warns where TensorFlow drops a derivative silently; raises a ValueError where it has none.
    """
    if not learner.gradient_rule.second_order:
        return
    findings = inner.check_exactness(learner.network, learner.task_network.adapted)
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
