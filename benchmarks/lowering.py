"""Lowers tfmeta's compiled meta-step to StableHLO, for machines that have JAX but no TensorFlow.

    python -m benchmarks.lowering --folder=lowered --workload=all --torch_python=../torch/bin/python

`benchmarks.meta_step_gpu` computes there what this writes here, a set of files a workload: the
step's text, in which every tensor is an argument; the arguments that numpy alone cannot make again;
what PyTorch computes in float64; and what tfmeta computes on this machine's CPU. A workload whose
files are there is left out.
"""

import importlib
import pathlib

import numpy as np
from absl import app, flags

from benchmarks import agreement, line_up, lowered_files, measurement, report
from benchmarks.algorithms import Adaptation
from benchmarks.workloads import WORKLOADS

_FOLDER = flags.DEFINE_string("folder", None, "Where to write.", required=True)
_LIMIT = flags.DEFINE_float("limit", 600.0, "Seconds for what is computed beside.")
ADAM = (0.9, 0.999, 1e-7)  # beta_1, beta_2 and epsilon


def main(argv):
    del argv
    folder = pathlib.Path(_FOLDER.value)
    folder.mkdir(parents=True, exist_ok=True)
    for name in line_up.workload_names():
        if (folder / f"{name}.json").exists():
            continue
        text, arrays, outputs = lower(WORKLOADS[name])
        about = {"code": report.code_version(), "outputs": outputs}
        lowered_files.write(folder, name, text, arrays, answers(name), **about)
        print(f"{name}: {len(text) / 1e6:.1f} MB of StableHLO", flush=True)


def lower(workload):
    """(text, arrays by name, shapes of all outputs) of the step that a GPU would be given."""
    import tensorflow as tf

    from benchmarks.contestants.tfmeta.learners import compiled, tensors

    module = importlib.import_module(f"benchmarks.contestants.tfmeta.{workload.algorithm.name}")
    learner = compiled(workload, module.make_learner(workload, "vectorized"), jit_compile=True)
    own_batch = getattr(module, "arranged_batch", None)
    batch = own_batch(workload, learner) if own_batch else workload.problem.batch()
    state = [tf.convert_to_tensor(variable) for variable in learner.state_variables]
    keys = learner.task_keys(0, workload.problem.tasks)
    parameters = [tf.convert_to_tensor(variable) for variable in learner.parameter_variables]
    function, carry = _adaptation(learner), [parameters]
    if not isinstance(workload.algorithm, Adaptation):
        function = _meta_step(learner, workload.outer_rate)
        moments = [[tf.zeros_like(value) for value in parameters] for _ in range(2)]
        carry = [parameters, *moments, tf.zeros([], workload.dtype)]
    text, outputs = _text(function, [*carry, state, keys, tensors(workload, batch)])
    arrays = {f"state_{index:03}": value.numpy() for index, value in enumerate(state)}
    arrays["keys"] = np.asarray(keys)
    if own_batch:
        arrays |= {f"batch_{index}": array for index, array in enumerate(batch)}
    return text, arrays, outputs


def answers(name) -> dict:
    """PyTorch's in float64, and tfmeta's on this machine's CPU."""
    limits = measurement.Limits(_LIMIT.value, _LIMIT.value)
    exact = measurement.exact_answer(name, "pytorch_loop", limits)
    process = line_up.start("tfmeta_sequential", name)
    try:
        process.ask("build", limits.first)
        found = agreement.ask(process, WORKLOADS[name], limits.first)
    finally:
        process.close()
    return {lowered_files.EXACT: exact, lowered_files.ON_CPU: found}


def _text(function, arguments):
    """StableHLO of `function(*arguments)`, flat in the order of `tf.nest`, and outputs' shapes."""
    import tensorflow as tf

    from benchmarks import lowered_step

    def flat(*tensors):
        return tf.nest.flatten(function(*tf.nest.pack_sequence_as(arguments, tensors)))

    specs = [tf.TensorSpec(value.shape, value.dtype) for value in tf.nest.flatten(arguments)]
    compiled = tf.function(flat, jit_compile=True, autograph=False)
    with lowered_step.as_on_a_gpu(), lowered_step.full_precision():
        concrete = compiled.get_concrete_function(*specs)
        if concrete.captured_inputs:
            raise ValueError(
                "The step must capture nothing: pass tensors in. Received: "
                f"{concrete.captured_inputs}."
            )
        text = compiled.experimental_get_compiler_ir(*specs)(stage="stablehlo")
    return text, [output.shape.as_list() for output in concrete.outputs]


def _adaptation(learner):
    """A function of (weights, state, keys, batch) to the queries' outputs."""
    from tfmeta.parallel import map_tasks
    from tfmeta.tasks.task import Examples

    steps = learner.test_inner_steps

    def function(parameters, state, keys, batch):
        def one(arguments):
            support_x, support_y, query_x, key = arguments
            support = Examples(support_x, support_y)
            found = learner.adapt_weights(parameters, support, steps, state, key)
            return learner.query_outputs(found.weights, found.state, query_x, support)

        return map_tasks(one, (*batch[:3], keys), parallel="vectorized")

    return function


def _meta_step(learner, outer_rate):
    """A function of (weights, two moments, count, state, keys, batch): the learner's pure function
    over tasks, and Adam.

    It returns what changed, the loss, and the meta-gradient.
    """
    import tensorflow as tf

    from benchmarks.lowered_step import Moments, adam_update
    from tfmeta.parallel import map_tasks
    from tfmeta.tasks.task import Examples, Task

    def function(parameters, firsts, seconds, count, state, keys, batch):
        def one(arguments):
            task, key = arguments
            found = learner.task_gradient(parameters, task, state, key)
            return found.gradient, found.logs["loss"]

        support_x, support_y, query_x, query_y = batch
        tasks = Task(Examples(support_x, support_y), Examples(query_x, query_y))
        gradients, losses = map_tasks(one, (tasks, keys), parallel="vectorized")
        gradients = [tf.reduce_mean(value, axis=0) for value in gradients]
        count += 1.0
        parameters, (firsts, seconds) = adam_update(
            parameters, Moments(firsts, seconds), gradients, count, outer_rate, *ADAM
        )
        return parameters, firsts, seconds, count, tf.reduce_mean(losses), gradients

    return function


if __name__ == "__main__":
    app.run(main)
