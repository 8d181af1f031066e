"""Trains a recipe in one process, on two logical CPUs and on one; arguments: workdir, bindings."""

import sys
from pathlib import Path

import tensorflow as tf

from tfmeta.runs import recipe, train

workdir, params = Path(sys.argv[1]), sys.argv[2:]
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
for strategy in ("mirrored", "one_device"):
    own = [*params, f"run.strategy = '{strategy}'", "export.enabled = False"]
    train(recipe.read_recipe(["sinusoid_maml.gin"], own), workdir / strategy)
