"""The `Servable` of a learner: its two pure functions, shapes and metadata."""

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners import checks
from tfmeta.learners.answers import outlier_scores
from tfmeta.learners.batch.any_ways import check_any_ways
from tfmeta.learners.batch.task_keys import answer_keys
from tfmeta.learners.core.embedding import never
from tfmeta.learners.core.sampled_network import SampledNetwork
from tfmeta.saved_model.servable import InputSpec, Servable
from tfmeta.tasks.task import Examples, unpack_tasks

# What `tfmeta.evaluation.measure_outliers` found of the answers that it measured.
_OF_THE_ANSWERS = ("threshold", "false_alarms", "scores", "test")


def make_servable(
    learner,
    *,
    normalization=None,
    output=None,
    max_ways=None,
    target_shape=None,
    outliers=None,
    preprocessing=None,
    usual_sizes=(),
    metadata=None,
) -> Servable:
    """Builds the `Servable` of a compiled learner.

    Args:
        learner: a `MetaLearner`.
        normalization: another mode than the learner's, or None.
        output: "classification" or "regression"; None: a classifier if the loss is a
            cross-entropy.
        max_ways: None for classes as many as the network's outputs; else the most classes of a
            request, of a learner that allows any number (`MetaLearner.any_ways`).
        target_shape: of `MetaLearner.export`.
        outliers: of `MetaLearner.export`.
        preprocessing: how images were prepared, for clients (`Servable.preprocessing`).
        usual_sizes: (S, Q) of usual requests.
        metadata: anything that JSON can hold, for the export's metadata.

    Raises:
        ValueError: if the learner is not compiled, or its network's shapes are not known.
    """
    learner.adaptation.check_export()
    checks.check_compiled(learner)
    mode = learner.normalization if normalization is None else normalization
    checks.check_options(normalization=mode)
    if learner.adapted is not None and mode != learner.normalization:
        checks.check_effect(learner.task_network, learner.adapted, mode)
    kind = _kind(learner, output)
    target = _support_target(learner, kind)
    output_shape = tuple(_output(learner.network).shape)[1:]
    network, any_ways = learner.task_network, learner.any_ways and kind.is_classification
    if max_ways is not None:
        check_max_ways(learner, max_ways, kind)
        network, output_shape = network.with_ways(max_ways), (max_ways,)
    network = network.with_traced_trunk()
    sampling = isinstance(network, SampledNetwork)
    rule = _outlier_rule(learner, kind, mode, outliers)
    return Servable(
        parameters=learner.parameter_variables,
        state=learner.state_variables,
        adapt=_adapt_function(learner, network, max_ways),
        outputs=_outputs_function(learner, network, mode),
        initial_weights=lambda parameters: network.fitted(learner.initial_weights(parameters)),
        weight_paths=list(learner.task_network.paths),
        weight_shapes=network.adapted_shapes,
        adapted=list(learner.task_network.adapted),
        inputs=_inputs(learner.network),
        pack=_pack(learner.network),
        resources=lookup_tables(learner.network),
        target=target,
        target_shape=_target_shape(learner, target, output_shape, target_shape),
        output_shape=output_shape,
        kind="classification" if kind.is_classification else "regression",
        link=kind.link,
        from_logits=kind.from_logits,
        ignore_class=_ignored_in_support(learner),
        inner_steps=learner.test_inner_steps,
        inner_rate=learner.inner_rate,
        normalization=mode,
        needs_support=mode == "inductive",
        dtype=learner.network.trainable_variables[0].dtype,
        learner=type(learner).__name__,
        preprocessing=dict(preprocessing or {}),
        usual_sizes=tuple(usual_sizes),
        metadata=dict(metadata or {}),
        present=_present_function(network.embedding) if any_ways else None,
        max_ways=max_ways,
        outlier_score=_outlier_function(learner, mode, rule["score"]) if rule else None,
        outliers=rule,
        sample=_sample_function(learner, network, mode) if sampling else None,
        samples=network.samples if sampling else None,
        noise=network.noise if sampling and not kind.is_classification else None,
    )


def check_format(format, fixed, limits) -> None:
    """Raises a ValueError for a format that does not exist, or options of the other format.

    Args:
        format: "saved_model" or "litert".
        fixed: `{name: value or None}` of what a LiteRT file has.
        limits: what a SavedModel has, and what both have.
    """
    if format not in ("saved_model", "litert"):
        raise ValueError(
            'format must be "saved_model" or "litert". '
            f"Received: format={format!r}. Choose one of them."
        )
    if format == "litert":
        foreign = set(limits) - {"preprocessing", "metadata"}
    else:
        foreign = {name for name, value in fixed.items() if value is not None}
    if foreign:
        raise ValueError(
            "A LiteRT file has fixed sizes, a SavedModel has limits. "
            f"Received: {', '.join(sorted(foreign))} with format={format!r}. Leave it out."
        )
    if format == "litert" and fixed["tasks"] is None:
        raise ValueError(
            'format="litert" needs tasks: the file gets their sizes and is tried on them. '
            "Received: tasks=None. Give a batch of tasks as `predict` takes it."
        )


def requests(servable, tasks) -> list[dict]:
    """A batch of tasks as requests for `adapt_and_predict`.

    Args:
        servable: `Servable`.
        tasks: `(support_x, support_y, query_x)`, or that with query targets beside it, each with
            a leading task axis.
    """
    x, *rest = tasks if isinstance(tasks[0], (tuple, list)) else (tasks,)
    task = unpack_tasks(x, *rest)
    if task.support.weights is not None or task.query.weights is not None:
        raise ValueError(
            "Signatures have no weights of examples. Received: tasks with weights. Leave the "
            "weights out, and examples of weight 0 with them."
        )
    named = {"support_targets": task.support.targets}
    for part in ("support", "query"):
        inputs = keras.tree.flatten(getattr(task, part).inputs)
        names = [f"{part}_inputs{suffix}" for suffix in servable.named_inputs]
        named.update(zip(names, inputs, strict=True))
    count = len(task.support.targets)
    return [
        {name: keras.ops.convert_to_numpy(value[i]) for name, value in named.items()}
        for i in range(count)
    ]


def _sample_function(learner, network, mode):
    def sample(parameters, support_inputs, support_targets, query_inputs, seed, state):
        support = Examples(support_inputs, support_targets)
        steps = learner.test_inner_steps
        found = learner.adapt_weights(parameters, support, steps, state, seed, network=network)
        network_state = learner.network_state_of(state)
        outputs = network.sample_outputs(
            found.weights, network_state, query_inputs, support, mode=mode
        )
        return outputs, found.support_losses

    return sample


def check_max_ways(learner, max_ways, kind) -> None:
    """Raises a ValueError unless a learner's answers may have up to so many classes.

    Args:
        learner: a compiled `MetaLearner`.
        max_ways: number of classes.
        kind: the `inner.LossKind` by which the learner is exported.
    """
    check_any_ways(learner)
    if not kind.takes_logits:
        raise ValueError(
            "max_ways is for classifiers. Received: max_ways with output='regression'. Leave one "
            "of them out."
        )
    if isinstance(max_ways, bool) or not isinstance(max_ways, int) or max_ways < 1:
        raise ValueError(
            f"max_ways must be a whole number, at least 1. Received: max_ways={max_ways!r}. "
            "Leave it out for the network's outputs."
        )


def _outlier_rule(learner, kind, mode, outliers) -> dict | None:
    """The score of an export with what is known of it; None where there is no score."""
    if not outlier_scores.scores_of(learner) or not kind.is_classification:
        if outliers:
            outlier_scores.check_score(learner, outliers.get("score"))
            raise ValueError(
                "Outlier scores are for classifiers. Received: outliers with output='regression'. "
                "Leave one of them out."
            )
        return None
    rule = {"score": outlier_scores.default_score(learner), "threshold": None, **(outliers or {})}
    outlier_scores.check_score(learner, rule["score"])
    answers = {"normalization": mode, "inner_steps": learner.test_inner_steps}
    if any(rule.get(name) not in (None, value) for name, value in answers.items()):
        # The threshold, and how good it is, are of other answers.
        rule = {name: value for name, value in rule.items() if name not in _OF_THE_ANSWERS}
        rule["threshold"] = None
    return rule


def _outlier_function(learner, mode, score):
    def scores(weights, state, query_inputs, support_inputs, outputs):
        support = None if support_inputs is None else Examples(support_inputs)
        found = outlier_scores.query_scores(
            learner.task_network,
            (score,),
            weights,
            learner.network_state_of(state),
            query_inputs,
            support,
            outputs,
            mode,
        )
        return found[score]

    return scores


def _present_function(embedding):
    """The classes whose bias is a head's own, not `never`."""

    def present(weights):
        bias = embedding.head(weights)[1]
        return bias > never(bias.dtype) / 2

    return present


def _adapt_function(learner, network, ways):
    def adapt(parameters, support_inputs, support_targets, inner_steps, rate_scale, state):
        # One task a request: nothing tells two clients' masks or minibatches apart, and the same
        # request must get the same answer, so the key is that of the first task, as in `adapt`.
        key = answer_keys(learner.seed, 1)[0]
        adaptation = learner.adapt_weights(
            parameters,
            Examples(support_inputs, support_targets),
            inner_steps,
            state,
            key,
            rate_scale=rate_scale,
            network=network,
            ways=ways,
        )
        return adaptation.weights, adaptation.support_losses

    return adapt


def _outputs_function(learner, network, mode):
    def outputs(weights, state, query_inputs, support_inputs):
        support = None if support_inputs is None else Examples(support_inputs)
        return learner.query_outputs(weights, state, query_inputs, support, mode, network=network)

    return outputs


def _kind(learner, output):
    """The `inner.LossKind` by which a learner is exported."""
    loss_function = learner.loss_function
    kind = loss_function.kind
    if not kind.is_classification and output == "classification":
        raise ValueError(
            "A classifier is exported by its cross-entropy. "
            f"Received: loss {loss_function.loss.name!r} with output='classification'. Compile "
            "with a Keras cross-entropy."
        )
    if output == "regression":
        if kind.target == "sparse":
            raise ValueError(
                "Sparse labels are no regression targets. Received: output='regression' with a "
                "sparse cross-entropy. Leave `output` out."
            )
        return inner.LossKind()
    return kind


def _support_target(learner, kind):
    """What support targets are: what the inner loss takes, where that is a known cross-entropy."""
    inner_kind = learner.inner_loss_function.kind
    return (inner_kind if kind.is_classification and inner_kind.is_classification else kind).target


def _target_shape(learner, target, output_shape, given):
    """The shape of one support target, without the axis of examples."""
    usual = output_shape[:-1] if target == "sparse" else output_shape
    if given is None:
        return usual
    given = tuple(given)
    loss = learner.inner_loss_function
    known = target != "regression" or inner.compares_elements(loss.kind)
    if known and given != usual:
        raise ValueError(
            f"The targets of the loss {loss.loss.name!r} have the shape {usual}. Received: "
            f"target_shape={given}. Leave it out: it is for losses of your own."
        )
    return given


def _ignored_in_support(learner):
    """The label that a support set may hold beside the classes, or None."""
    return learner.inner_loss_function.kind.ignore_class


def _inputs(network):
    structure = _structure(network)
    if structure is None:
        return _input_spec(input_tensors(network)[0])
    named = [
        ("_".join(map(str, path)), _input_spec(tensor))
        for path, tensor in keras.tree.flatten_with_path(structure)
    ]
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        raise ValueError(
            "Inputs of a signature are named by their keys and positions, joined by '_', and each "
            f"needs a name of its own. Received: {', '.join(names)}. Rename a key."
        )
    return dict(named)


def _pack(network):
    structure = _structure(network)
    if structure is None:
        return None
    return lambda values: keras.tree.pack_sequence_as(structure, values)


def _structure(network):
    """The dict, list or tuple of a network's inputs; None where it takes one tensor."""
    structure = getattr(network, "_inputs_struct", None)
    if isinstance(structure, (list, tuple)) and len(structure) == 1:
        structure = structure[0]
    return structure if isinstance(structure, (dict, list, tuple)) else None


def lookup_tables(network) -> list:
    """Resources beside variables that the layers of a network hold, such as lookup tables."""
    return [
        value
        for layer in network._flatten_layers()
        for value in vars(layer).values()
        if isinstance(value, tf.saved_model.experimental.TrackableResource)
    ]


def _input_spec(tensor):
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return InputSpec(tuple(tensor.shape)[1:], "float32" if "float" in dtype else dtype)


def input_tensors(network):
    """Symbolic inputs of a network: its own, or of the shape that built a subclassed model.

    Raises:
        ValueError: if the network does not say what it takes.
    """
    tensors = getattr(network, "inputs", None)
    if tensors:
        return list(tensors)
    shapes = list((getattr(network, "_build_shapes_dict", None) or {}).values())
    if len(shapes) != 1 or not isinstance(shapes[0], (tuple, list)):
        raise ValueError(
            "Exporting needs the shape of the network's inputs. "
            f"Received: {network.name!r}, which does not say. Wrap it: inputs = "
            "keras.Input(shape); keras.Model(inputs, network(inputs))."
        )
    return [keras.KerasTensor((None, *shapes[0][1:]), dtype=network.compute_dtype)]


def _output(network):
    outputs = getattr(network, "outputs", None)
    if outputs:
        return outputs[0]
    return network.compute_output_spec(*input_tensors(network))
