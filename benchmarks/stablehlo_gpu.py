"""Runs tfmeta's compiled meta-step where there is JAX but no TensorFlow, a GPU say.

    python -m benchmarks.stablehlo_gpu write --folder=DIR        (TensorFlow)
    python -m benchmarks.stablehlo_gpu run --folder=DIR          (JAX and numpy; any device)

`write` lowers the meta-step with Adam inside to StableHLO, every tensor an argument, and computes
what must come out on this machine's CPU, in float32 and in float64. `run` compiles the text through
JAX's PJRT client on its default device, compares, times, and goes on training there. It prints a
JSON object and stores it in the file `--write`. (On a GPU, products may be rounded to TF32: set
NVIDIA_TF32_OVERRIDE=0 to compare without that.)
"""

import argparse
import json
import os
import pathlib
import platform
import sys
import time

import numpy as np

from benchmarks import report
from benchmarks.algorithms import MAML
from benchmarks.workloads import WORKLOADS

# Which workloads this is for.
NAMES = [
    name
    for name, workload in WORKLOADS.items()
    if isinstance(workload.algorithm, MAML) and workload.problem.network == "conv4"
]
TEXT, ARRAYS, ABOUT = "meta_step.mlir", "arrays.npz", "about.json"
ADAM = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=("write", "run"))
    parser.add_argument("--folder", required=True, type=pathlib.Path, help="between the stages")
    parser.add_argument("--workload", default="omniglot_5way_1shot", choices=NAMES)
    parser.add_argument("--steps", default=20, type=int, help="timed meta-steps, of `run`")
    parser.add_argument("--write", type=pathlib.Path, help="JSON file of `run`'s result")
    options = parser.parse_args(arguments)
    if options.stage == "write":
        options.folder.mkdir(parents=True, exist_ok=True)
        write(options.folder, WORKLOADS[options.workload], options.workload)
    else:
        result = run(options.folder, options.steps)
        result["command"] = report.command("benchmarks.stablehlo_gpu", arguments)
        print(json.dumps(result, indent=1))
        if options.write:
            options.write.write_text(json.dumps(result, indent=1) + "\n")


def write(folder, workload, name):
    """Writes the text, the arguments in order, and what TensorFlow gives for them."""
    import tensorflow as tf

    learner = make_learner(workload, "float32")
    arguments = tf.nest.flatten(step_arguments(learner, workload))
    structure = step_arguments(learner, workload)

    def flat_step(*tensors):
        return meta_step(learner, workload, *tf.nest.pack_sequence_as(structure, tensors))

    function = tf.function(flat_step, jit_compile=True, autograph=False)
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in arguments]
    captured = function.get_concrete_function(*specs).captured_inputs
    if captured:
        raise ValueError(f"The step must capture nothing. Received: {captured}. Pass it in.")
    text = function.experimental_get_compiler_ir(*specs)(stage="stablehlo")
    (folder / TEXT).write_text(text)
    loss, gradients = expected(workload, "float32")
    exact_loss, exact = expected(workload, "float64")
    np.savez(
        folder / ARRAYS,
        **{f"argument_{i:03}": tensor.numpy() for i, tensor in enumerate(arguments)},
        **{f"gradient_{i:03}": value for i, value in enumerate(gradients)},
        **{f"exact_{i:03}": value for i, value in enumerate(exact)},
    )
    about = {
        "workload": name,
        "tensorflow": tf.__version__,
        "loss": loss,
        "float64_loss": exact_loss,
        "text_bytes": len(text),
    }
    (folder / ABOUT).write_text(json.dumps(about))
    print(f"Wrote {len(text) / 1e6:.1f} MB of StableHLO and the arrays to {folder}")


def make_learner(workload, dtype, jit_compile=True):
    import keras

    import tfmeta

    problem = workload.problem
    network = tfmeta.networks.conv4(
        problem.ways,
        problem.image_shape,
        filters=problem.filters,
        downsampling="max_pool" if problem.pooled else "stride",
        head="flatten" if problem.pooled else "mean",
        dtype=dtype,
    )
    arrays = problem.weights().values()
    for variable, array in zip(network.trainable_variables, arrays, strict=True):
        variable.assign(array)
    learner = tfmeta.MAML(
        network,
        workload.algorithm.inner_rate,
        workload.algorithm.inner_steps,
        first_order=workload.algorithm.first_order,
        parallel="vectorized" if jit_compile else "sequential",
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner.compile("sgd", loss, jit_compile=jit_compile)
    return learner


def expected(workload, dtype):
    """Loss and gradients by TensorFlow's executor on the CPU, task after task, without XLA."""
    learner = make_learner(workload, dtype, jit_compile=False)
    support_x, support_y, query_x, query_y = workload.problem.batch()
    gradients, outputs = learner.meta_gradient((support_x, support_y, query_x), query_y)
    logits = np.float64(outputs)
    chosen = np.take_along_axis(logits, query_y[..., np.newaxis], axis=-1)
    loss = np.mean(np.log(np.sum(np.exp(logits), axis=-1, keepdims=True)) - chosen)
    return float(loss), [np.asarray(value) for value in gradients]


def step_arguments(learner, workload):
    """(carry, constants): what a step gives back changed, and what it does not change."""
    import tensorflow as tf

    parameters = [tf.convert_to_tensor(variable) for variable in learner.parameter_variables]
    moments = [[tf.zeros_like(value) for value in parameters] for _ in range(2)]
    state = [tf.convert_to_tensor(variable) for variable in learner.state_variables]
    support_x, support_y, query_x, query_y = (
        tf.constant(array, tf.float32 if array.dtype.kind == "f" else tf.int32)
        for array in workload.problem.batch()
    )
    keys = tf.zeros([workload.problem.tasks, 2], tf.int32)
    carry = [parameters, *moments, tf.zeros([])]
    return carry, [state, keys, support_x, support_y, query_x, query_y]


def meta_step(learner, workload, carry, constants):
    """(new carry, loss, gradients): the learner's pure function over tasks, and Adam."""
    import tensorflow as tf

    from tfmeta.parallel import map_tasks
    from tfmeta.tasks.task import Examples, Task

    parameters, firsts, seconds, count = carry
    state, keys, support_x, support_y, query_x, query_y = constants

    def one(arguments):
        task, key = arguments
        result = learner.task_gradient(parameters, task, state, key)
        return result.gradient, result.logs["loss"]

    tasks = Task(Examples(support_x, support_y), Examples(query_x, query_y))
    gradients, losses = map_tasks(one, (tasks, keys), parallel="vectorized")
    gradients = [tf.reduce_mean(value, axis=0) for value in gradients]
    count += 1.0
    beta_1, beta_2 = ADAM["beta_1"], ADAM["beta_2"]
    firsts = [beta_1 * m + (1 - beta_1) * g for m, g in zip(firsts, gradients, strict=True)]
    seconds = [beta_2 * v + (1 - beta_2) * g * g for v, g in zip(seconds, gradients, strict=True)]
    rate = workload.outer_rate * tf.sqrt(1 - beta_2**count) / (1 - beta_1**count)
    parameters = [
        w - rate * m / (tf.sqrt(v) + ADAM["epsilon"])
        for w, m, v in zip(parameters, firsts, seconds, strict=True)
    ]
    return [*parameters, *firsts, *seconds, count, tf.reduce_mean(losses), *gradients]


def run(folder, steps):
    """Compiles and runs the text on JAX's first device; the figures as a dict."""
    import jax
    import jaxlib
    from jax._src.lib import xla_client

    device = jax.devices()[0]
    about = json.loads((folder / ABOUT).read_text())
    with np.load(folder / ARRAYS) as file:
        groups = {
            group: [file[name] for name in sorted(file.files) if name.startswith(group)]
            for group in ("argument", "gradient", "exact")
        }
    begin = time.perf_counter()
    program = device.client.compile_and_load(
        (folder / TEXT).read_text(),
        jaxlib._jax.DeviceList((device,)),
        xla_client.CompileOptions(),
    )
    compile_seconds = time.perf_counter() - begin
    arguments = [jax.device_put(array, device) for array in groups["argument"]]
    count = 3 * len(groups["gradient"]) + 1  # weights, two moments each, the step counter

    def step():
        outputs = program.execute_sharded(arguments).disassemble_into_single_device_arrays()
        outputs = [output[0] for output in outputs]
        arguments[:count] = outputs[:count]
        return float(outputs[count]), outputs[count + 1 :]

    loss, gradients = step()
    gradients = [np.asarray(value) for value in gradients]
    seconds, losses = [], [loss]
    for _ in range(steps):
        begin = time.perf_counter()
        losses.append(step()[0])
        seconds.append(time.perf_counter() - begin)
    return {
        "workload": about["workload"],
        "device": f"{device.platform}: {device.device_kind}",
        "versions": {
            "tensorflow": about["tensorflow"],
            "jax": jax.__version__,
            "python": platform.python_version(),
        },
        "cores": os.cpu_count(),
        "text_bytes": about["text_bytes"],
        "compile_seconds": compile_seconds,
        "loss": loss,
        "loss_of_tensorflow": about["loss"],
        "loss_of_tensorflow_float64": about["float64_loss"],
        "gradient_distance_from_tensorflow": distance(gradients, groups["gradient"]),
        "gradient_distance_from_float64": distance(gradients, groups["exact"]),
        "tensorflow_distance_from_float64": distance(groups["gradient"], groups["exact"]),
        "seconds_median": float(np.median(seconds)) if seconds else None,
        "losses_while_training": losses,
    }


def distance(arrays, expected_arrays):
    """Norm of the difference over the norm of what is expected."""
    pairs = list(zip(arrays, expected_arrays, strict=True))
    difference = sum(np.sum((np.float64(a) - np.float64(e)) ** 2) for a, e in pairs)
    return float(np.sqrt(difference / sum(np.sum(np.float64(e) ** 2) for _, e in pairs)))


if __name__ == "__main__":
    main(sys.argv[1:])
