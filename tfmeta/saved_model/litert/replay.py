"""Runs the operations of a traced function again, one by one, in the graph traced now.

A translation says what takes the place of an operation. So the function that a learner exports
becomes another program of the same meaning, without a change in the learner.
"""

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

# Takes an operation and its new inputs; gives its new outputs, or None for a plain copy.
Translation = Callable[[tf.Operation, list], list | None]

# What the trace knows becomes a constant up to this many entries, so that sizes stay sizes.
_LARGEST_CONSTANT = 64
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_LOOPS = ("While", "StatelessWhile")
_BRANCHES = ("If", "StatelessIf")


def replay(outputs: Sequence, values: Mapping, translate: Translation) -> list[tf.Tensor]:
    """Computes tensors of a traced graph again, from new values of its inputs.

    Called functions are written out. Control dependencies are left behind, and assertions with
    them.

    Args:
        outputs: tensors of one traced graph.
        values: `{tensor.ref(): new value}` for the placeholders of that graph.
        translate: `Translation`.

    Returns:
        A new tensor for each of `outputs`, in the graph traced now.
    """
    known = dict(values)
    for operation in _in_order(outputs, known):
        constants = _static_values(operation)
        if constants is None:
            inputs = [known[tensor.ref()] for tensor in operation.inputs]
            results = _again(operation, inputs, translate)
        else:
            # As operations, so that a translation may give them another type.
            results = [_again(c.op, [], translate)[0] for c in constants]
        known.update(zip((t.ref() for t in operation.outputs), results, strict=True))
    return [known[tensor.ref()] for tensor in outputs]


def copied(operation, inputs, attributes=None, dtypes=None) -> list[tf.Tensor]:
    """The outputs of the same operation on other inputs.

    Args:
        operation: of the traced graph.
        inputs: list of tensors.
        attributes: `{name: AttrValue}`; None: the operation's.
        dtypes: types of the outputs; None: the operation's.
    """
    attributes = dict(operation.node_def.attr) if attributes is None else attributes
    new = tf.compat.v1.get_default_graph().create_op(
        operation.type,
        inputs,
        dtypes or [tensor.dtype for tensor in operation.outputs],
        name=operation.name,
        attrs={name: value for name, value in attributes.items() if not name.startswith("_")},
        op_def=operation.op_def,
    )
    return list(new.outputs)


def operations_of(graph):
    """All operations of a graph and of the functions that it calls."""
    for operation in graph.get_operations():
        yield operation
        for attribute in ("f", "cond", "body", "then_branch", "else_branch"):
            if operation.type in (*_CALLS, *_LOOPS, *_BRANCHES) and attribute in (
                operation.node_def.attr
            ):
                yield from operations_of(_function(operation, attribute))


def _in_order(outputs, known):
    """The operations that outputs depend on, up to tensors with known values, inputs first."""
    needed, waiting = set(), [tensor.op for tensor in outputs if tensor.ref() not in known]
    while waiting:
        operation = waiting.pop()
        if operation not in needed:
            needed.add(operation)
            waiting += [tensor.op for tensor in operation.inputs if tensor.ref() not in known]
    return [op for op in outputs[0].graph.get_operations() if op in needed] if outputs else []


def _static_values(operation):
    """The outputs as constants of the graph traced now, where the trace knows them."""
    if operation.type == "Placeholder" or not operation.outputs:
        return None
    values = []
    for tensor in operation.outputs:
        size = tensor.shape.num_elements()
        if tensor.dtype in (tf.resource, tf.variant) or size is None or size > _LARGEST_CONSTANT:
            return None
        values.append(tf.get_static_value(tensor))
    if any(value is None for value in values):
        return None
    return [tf.constant(v, t.dtype) for v, t in zip(values, operation.outputs, strict=True)]


def _again(operation, inputs, translate):
    results = translate(operation, inputs)
    if results is not None:
        return results
    if operation.type in _CALLS:
        return _run(_function(operation, "f"), inputs, translate)
    if operation.type in _LOOPS:
        condition, body = _function(operation, "cond"), _function(operation, "body")
        return tf.while_loop(
            lambda *values: _run(condition, values, translate)[0],
            lambda *values: _run(body, values, translate),
            inputs,
            shape_invariants=[tensor.shape for tensor in operation.outputs],
        )
    if operation.type in _BRANCHES:
        branches = [_function(operation, name) for name in ("then_branch", "else_branch")]
        return tf.cond(
            inputs[0], *(lambda b=branch: _run(b, inputs[1:], translate) for branch in branches)
        )
    return copied(operation, inputs)


def _run(graph, inputs, translate):
    values = {tensor.ref(): value for tensor, value in zip(graph.inputs, inputs, strict=True)}
    return replay(graph.outputs, values, translate)


def _function(operation, attribute):
    """The graph of a function that an operation calls."""
    return operation.graph._get_function(operation.get_attr(attribute).name).graph
