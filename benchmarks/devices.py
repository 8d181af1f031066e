"""Which device contestants compute on: the driver says it in their environment."""

import importlib
import os
import sys

VARIABLE = "BENCHMARK_DEVICE"
# On a GPU products and convolutions are in full float32, or of operands rounded to TF32.
CPU, GPU, GPU_TF32 = "cpu", "gpu", "gpu_tf32"


def device() -> str:
    """One of the above."""
    return os.environ.get(VARIABLE, CPU)


def torch_device() -> str:
    """PyTorch's name of it."""
    return "cpu" if device() == CPU else "cuda"


def set_up_torch(torch):
    """Precision, and what users set for a GPU and fixed shapes."""
    if device() == CPU:
        return
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = device() == GPU_TF32
    torch.set_float32_matmul_precision("high" if device() == GPU_TF32 else "highest")


def set_up_jax(jax):
    """Precision."""
    if device() != CPU:
        precision = "tensorfloat32" if device() == GPU_TF32 else "highest"
        jax.config.update("jax_default_matmul_precision", precision)


def accelerator() -> dict:
    """Name and peak memory of the GPU, by the framework that this process uses."""
    if device() == CPU:
        return {}
    if "jax" in sys.modules:
        used = importlib.import_module("jax").devices()[0]
        return {
            "accelerator": used.device_kind,
            # What the compiler tried while it chose its kernels counts too.
            "peak_bytes": used.memory_stats()["peak_bytes_in_use"],
            "idle_bytes": 0,
        }
    cuda = importlib.import_module("torch").cuda
    return {
        "accelerator": cuda.get_device_name(),
        "peak_bytes": cuda.max_memory_allocated(),
        "idle_bytes": 0,
    }
