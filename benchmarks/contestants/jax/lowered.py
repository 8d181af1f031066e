"""tfmeta's compiled meta-step run by JAX: what `benchmarks.lowering` wrote, where no TensorFlow is.

The text takes the place of a program that JAX exported, so that JAX compiles and calls it as one of
its own.
"""

import dataclasses

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax.interpreters import mlir
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

from benchmarks import lowered_files
from benchmarks.algorithms import Adaptation
from benchmarks.entries import Runner
from benchmarks.workloads import WORKLOADS


def build(workload):
    name = next((name for name, known in WORKLOADS.items() if known == workload), None)
    if name is None:
        raise ValueError(f"Lowered are workloads as they are registered. Received: {workload}.")
    arrays = {key: jnp.asarray(array) for key, array in lowered_files.arrays(name).items()}
    text, shapes = lowered_files.text(name), lowered_files.about(name)["outputs"]
    outputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    weights = [jnp.asarray(w, workload.dtype) for w in workload.problem.weights().values()]
    fixed = [arrays[key] for key in sorted(arrays) if key.startswith("state_")]
    fixed += [arrays["keys"], *_batch(workload, arrays)]
    if isinstance(workload.algorithm, Adaptation):
        return _adaptation(program(text, [*weights, *fixed], outputs), [*weights, *fixed])
    moments = [jnp.zeros_like(w) for w in weights * 2]
    carry = [*weights, *moments, jnp.zeros((), workload.dtype)]
    return _training(text, carry, fixed, outputs)


def _batch(workload, arrays):
    stored = [arrays[key] for key in sorted(arrays) if key.startswith("batch_")]
    return [
        jnp.asarray(array, workload.dtype if array.dtype.kind == "f" else jnp.int32)
        for array in stored or workload.problem.batch()
    ]


def _adaptation(program, arguments):
    answers = jax.jit(program.call)

    def answer():
        return None, [np.asarray(answers(*arguments)[0])]

    return Runner(answer, lambda: float(np.asarray(answers(*arguments)[0])[0, 0, 0]))


def _training(text, carry, fixed, outputs):
    count, device = len(carry), jax.devices()[0]
    # Committed to the device as outputs are: the program is compiled once.
    carry = jax.device_put(carry, device)
    # Weights and moments are given away, as by the other contestants.
    update = jax.jit(
        program(text, [*carry, *fixed], outputs).call,
        donate_argnums=tuple(range(count)),
        out_shardings=jax.sharding.SingleDeviceSharding(device),
    )

    def answer():
        found = update(*(jnp.copy(value) for value in carry), *fixed)
        return float(found[count]), [np.asarray(value) for value in found[count + 1 :]]

    def step():
        *carry[:], loss = update(*carry, *fixed)[: count + 1]
        return float(loss)

    return Runner(answer, step)


def program(text, arguments, outputs) -> jax.export.Exported:
    """The text as an exported program of arrays like `arguments` to arrays like `outputs`."""
    if jax.config.jax_default_matmul_precision == "tensorfloat32":
        text = text.replace("HIGHEST", "DEFAULT")

    def stand_in(*arguments):
        return tuple(jnp.zeros(output.shape, output.dtype) for output in outputs)

    exported = jax.export.export(jax.jit(stand_in, keep_unused=True))(*arguments)
    with mlir.make_ir_context():
        requirement = stablehlo.StablehloCompatibilityRequirement.WEEK_4
        serialized = jaxlib._jax.mlir.serialize_portable_artifact(
            ir.Module.parse(text),
            stablehlo.get_version_from_compatibility_requirement(requirement),
            jax.local_devices()[0].client.serialize_with_sdy,
        )
    return dataclasses.replace(exported, mlir_module_serialized=serialized)
