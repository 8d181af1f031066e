"""What the layers of a network do in training mode, found by tracing it.

Names and attributes do not tell noise from normalisation, nor a layer with state of its own from
one without. The graph of a call does: it holds the random operations that the outputs depend on,
and the scope of the call holds the variables that were assigned. A network of Keras' own layers
needs no trace: which of them draw random numbers or keep state is known.
"""

import dataclasses
import functools
import inspect
import weakref
from typing import Any

import keras
import tensorflow as tf

from tfmeta.inner.call_trace import CallTrace
from tfmeta.inner.keras_internals import global_seed_generator, is_seed, renormalises

_KERAS = ("keras.src.layers.", "keras.src.models.")
_KNOWN_FUNCTIONS = ("keras.", "tensorflow.")
_studies: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


@dataclasses.dataclass(frozen=True)
class LayerStudy:
    """What a network does in training mode beside normalising by its batch.

    Attributes:
        noisy: layers that draw random numbers; inference mode silences them.
        kept: layers inside noisy ones that must stay in training mode.
        moving: positions, among the network's non-trainable variables, of state that a call in
            training mode changes; without seeds, and without the averages of Keras' batch
            normalisation, which only the normalisation "running" reads.
        foreign_seeds: seed variables outside the network that noise draws from.
        global_seed: whether noise draws from Keras' global seed generator.
        problems: sentences on what no learner can honour.
        dropout_problems: sentences on what a learner with noise cannot honour.
    """

    noisy: tuple = ()
    kept: tuple = ()
    moving: tuple = ()
    foreign_seeds: tuple = ()
    global_seed: bool = False
    problems: tuple = ()
    dropout_problems: tuple = ()


def known_study(network):
    """The study of a network that needs no trace, or None."""
    if _needs_trace(network):
        return None
    return LayerStudy(noisy=tuple(_with_seeds(network)))


def study_layers(network, specs) -> LayerStudy:
    """Studies a network, without running or changing it.

    Args:
        network: a built `keras.Model`.
        specs: structure of `tf.TensorSpec` that it takes.

    Returns:
        A `LayerStudy`; kept until the network's variables change.
    """
    key = tuple(id(v) for v in (*network.trainable_variables, *network.non_trainable_variables))
    found = _studies.get(network)
    if found is None or found[0] != key:
        _studies[network] = found = (key, known_study(network) or _traced_study(network, specs))
    return found[1]


def _with_seeds(network):
    return [layer for layer in network._flatten_layers() if layer._seed_generators]


def _needs_trace(network):
    return any(
        not type(layer).__module__.startswith(_KERAS)
        or isinstance(layer, keras.layers.Lambda)
        or getattr(layer, "stateful", False)
        or any(_is_foreign_function(value) for value in vars(layer).values())
        or any(not _is_known_operation(op) for op in getattr(layer, "operations", ()))
        or (layer._non_trainable_variables and not _keeps_known_state(layer))
        for layer in network._flatten_layers()
    )


def _is_known_operation(operation):
    return isinstance(operation, keras.layers.Layer) or type(operation).__module__.startswith(
        "keras."
    )


def _is_foreign_function(value):
    if isinstance(value, functools.partial):
        value = value.func
    if not inspect.isroutine(value):
        return False
    return not (getattr(value, "__module__", None) or "").startswith(_KNOWN_FUNCTIONS)


def _keeps_known_state(layer):
    averages = isinstance(layer, keras.layers.BatchNormalization) and not renormalises(layer)
    return averages or isinstance(layer, keras.layers.Normalization)


def _averages(network):
    """Ids of the moving averages of Keras' own batch normalisation."""
    return {
        id(variable)
        for layer in network._flatten_layers()
        if type(layer) is keras.layers.BatchNormalization and not renormalises(layer)
        for variable in layer._non_trainable_variables
    }


def _traced_study(network, specs):
    global_seed_generator()  # Made here, not while a graph is traced.
    training = CallTrace(network, specs, training=True)
    problems = [
        *_output_problems(network, training),
        *_assignment_problems(network, training),
        *_reading_problems(network, training),
    ]
    draws = training.draws
    if draws and not training.unsettled >= set(draws):
        # Numbers of a fixed seed that inference draws too are part of the network.
        settled = CallTrace(network, specs, training=False).draws
        draws = {layer: n for layer, n in draws.items() if n > settled[layer]}
    noisy = list(dict.fromkeys([*draws, *training.unsettled, *_with_seeds(network)]))
    kept, moved = (), training.moved
    if noisy:
        kept, found = _silenced(network, specs, noisy, training)
        problems += found
    averages = _averages(network)
    return LayerStudy(
        noisy=tuple(noisy),
        kept=tuple(kept),
        moving=tuple(
            position
            for position in moved
            if id(network.non_trainable_variables[position]) not in averages
        ),
        problems=tuple(problems),
        dropout_problems=tuple(_unseeded_problems(training)),
        **_foreign(network, training),
    )


def _silenced(network, specs, noisy, training):
    """(layers to keep in training mode, problems) where the noisy ones run in inference mode."""
    kept: list[Any] = []
    takes = [layer for layer in noisy if takes_training(layer)]
    silent = CallTrace(network, specs, training=True, noisy=takes) if takes else training
    lost = set(training.moved) - set(silent.moved)
    if lost:
        owners = _owners(network, lost)
        kept = [layer for layer in owners if layer not in noisy and takes_training(layer)]
        silent = CallTrace(network, specs, training=True, noisy=takes, kept=kept)
    problems = [
        f"{_name(layer)} draws random numbers outside training too, so no answer would be "
        "reproducible. Draw only where `training` is true."
        for layer in silent.unsettled
    ]
    problems += [
        f"{_name(layer)} draws random numbers and changes its state in one call, and only both "
        "can be turned off. Make two layers of it."
        for layer in _owners(network, set(training.moved) - set(silent.moved))
    ]
    return kept, problems


def takes_training(layer) -> bool:
    """Whether a layer's `call` takes the argument `training`."""
    parameters = inspect.signature(layer.call).parameters
    return "training" in parameters or any(
        p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()
    )


def _owners(network, positions):
    ids = {id(network.non_trainable_variables[position]) for position in positions}
    return [
        layer
        for layer in network._flatten_layers()
        if any(id(v) in ids for v in layer._non_trainable_variables)
    ]


def _output_problems(network, trace):
    if tf.is_tensor(trace.outputs):
        return []
    return [
        f"{network.name!r} gives a {type(trace.outputs).__name__} of outputs, and a learner takes "
        "one. Take one of them: keras.Model(inputs, outputs[0])."
    ]


def _assignment_problems(network, trace):
    """What is assigned beside the network's non-trainable variables and seeds."""
    problems = [
        f"{_name(layer)} assigns a variable by TensorFlow's own operations, which would run in "
        "every inner step. Make it with `add_weight(trainable=False)` and use its `assign`."
        for layer in trace.assigning()
    ]
    trained = {id(v): v for v in network.trainable_variables}
    known = {id(v) for v in network.non_trainable_variables}
    for layer in network._flatten_layers():
        if getattr(layer, "stateful", False):
            problems.append(
                f"{_name(layer)} keeps its state from batch to batch, but each task has sequences "
                "of its own. Make it with stateful=False."
            )
            known.update(id(v) for v in keras.tree.flatten(getattr(layer, "states", None)))
    for variable in {id(v): v for v in trace.updated}.values():
        if id(variable) in trained:
            layer = _owner_of(network, variable)
            problems.append(
                f"{_name(layer)} assigns its own trainable weight {variable.name!r} when it is "
                "called, which adapted weights cannot follow. Leave it out, or bound the weight "
                "by a constraint."
            )
        elif id(variable) not in known and not is_seed(variable):
            problems.append(
                f"The network assigns {variable.path!r}, which is not among its weights, so its "
                "state would be lost. Make it with `add_weight(trainable=False)`."
            )
    return problems


def _reading_problems(network, trace):
    """What reads a weight's variable, which adapted weights do not change."""
    return [
        f"{_name(_owner_of(network, variable))} reads its weight {variable.name!r} in a "
        "`tf.function` of its own, which keeps the weights of its first call. Leave the decorator "
        "out: a learner compiles all of a step."
        for variable in trace.read_past_keras
        if not is_seed(variable)
    ]


def _owner_of(network, variable):
    """The outermost layer of Keras' wrappers that holds a variable, else its own layer."""
    holders = [
        layer
        for layer in network._flatten_layers()
        if not isinstance(layer, keras.Model) and any(v is variable for v in layer.variables)
    ]
    return holders[0] if holders else network


def _unseeded_problems(trace):
    return [
        f"{_name(layer)} draws from TensorFlow's own generator, which dropout=True cannot seed by "
        "the task. Draw by keras.random with a keras.random.SeedGenerator."
        for layer in trace.unseeded
    ]


def _foreign(network, trace):
    """Seed variables outside the network that were drawn from."""
    known = {id(v) for v in network.non_trainable_variables}
    shared = global_seed_generator().state
    seeds = {id(v): v for v in trace.updated if is_seed(v) and id(v) not in known}
    return {
        "global_seed": id(shared) in seeds,
        "foreign_seeds": tuple(v for v in seeds.values() if v is not shared),
    }


def _name(layer):
    return f"{layer.name!r} ({type(layer).__name__})"
