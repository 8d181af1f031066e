"""Trains a lowered step by JAX's client, where no TensorFlow is.

    python -m benchmarks.train_lowered --folder=lowered/omniglot_20way_1shot_maml --steps=60000

The folder is what `benchmarks.lowered_training` wrote. `carry.npz` in it holds the state at the
last step taken, so the same command goes on; losses are in `losses.csv`, a row for --every steps.
"""

import argparse
import gzip
import pathlib
import sys
import time

import jax
import numpy as np

from benchmarks.contestants.jax.lowered import program
from benchmarks.lowered_files import CARRY, LOSSES, read_list, write_list


def main():
    asked = _arguments()
    began, folder = time.monotonic(), pathlib.Path(asked.folder)
    carry, fixed = read_list(folder / CARRY), read_list(folder / "fixed.npz")
    text = gzip.decompress((folder / "step.mlir.gz").read_bytes()).decode()
    advance = compiled(text, carry, fixed)
    carry, fixed = jax.device_put((carry, fixed), jax.devices()[0])
    step, before = int(carry[-1]), seconds_before(folder / LOSSES)
    while step < asked.steps and time.monotonic() - began < asked.seconds:
        losses, until = [], min(asked.steps, step + asked.every - step % asked.every)
        for _ in range(step, until):
            *carry, loss = advance(*carry, *fixed)
            losses.append(loss)
        step, mean = until, float(np.mean(jax.device_get(losses)))
        if not np.isfinite(mean):
            sys.exit(f"The loss was not finite before step {step}.")
        write_list(folder / CARRY, jax.device_get(carry))
        with open(folder / LOSSES, "a", encoding="utf-8") as file:
            file.write(f"{step},{mean:.6g},{before + time.monotonic() - began:.1f}\n")
        print(f"step {step}/{asked.steps}, loss {mean:.4f}", flush=True)


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--folder", required=True, help="What benchmarks.lowered_training wrote.")
    add("--steps", type=int, required=True, help="The step to end at.")
    add("--every", type=int, default=500, help="Steps between losses, and between saves.")
    add("--seconds", type=float, default=float("inf"), help="After which no step is begun.")
    return parser.parse_args()


def seconds_before(path):
    """What earlier calls took."""
    rows = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return float(rows[-1].split(",")[-1]) if rows else 0.0


def compiled(text, carry, fixed):
    """The step as a function of the arrays of `carry`, which it gives away, and of `fixed`."""
    jax.config.update("jax_enable_x64", True)  # tasks are counted in int64
    outputs = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in carry]
    outputs.append(jax.ShapeDtypeStruct((), np.float32))
    return jax.jit(
        program(text, [*carry, *fixed], outputs).call,
        donate_argnums=tuple(range(len(carry))),
        out_shardings=jax.sharding.SingleDeviceSharding(jax.devices()[0]),
    )


if __name__ == "__main__":
    main()
