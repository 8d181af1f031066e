"""A function that several graphs call: one trace a kind of arguments, the same values."""

import numpy as np
import tensorflow as tf

from tfmeta.saved_model.shared_function import SharedFunction


def test_graphs_that_call_a_function_with_arguments_of_one_kind_share_its_trace():
    variable = tf.Variable(3.0)
    traces = []

    def gradient(named, power):
        traces.append(power)
        x = named["x"]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(variable * x**power)
        return {"gradient": tape.gradient(y, x)}

    shared = SharedFunction(gradient, "shared")
    rows = tf.TensorSpec([None], tf.float32)
    whole = tf.function(lambda x: shared({"x": x}, 2)["gradient"], autograph=False)
    mapped = tf.function(
        lambda x: tf.map_fn(lambda row: shared({"x": row}, 2)["gradient"], x), autograph=False
    )
    cubed = tf.function(lambda x: shared({"x": x}, 3)["gradient"], autograph=False)
    rows_of_rows = tf.TensorSpec([None, None], tf.float32)
    specs = {whole: rows, mapped: rows_of_rows, cubed: rows}
    calls = {function: function.get_concrete_function(spec) for function, spec in specs.items()}
    x = np.array([1.0, 2.0], "float32")
    np.testing.assert_array_equal(calls[whole](tf.constant(x)), 6 * x)
    np.testing.assert_array_equal(calls[mapped](tf.constant([x, 2 * x])), [6 * x, 12 * x])
    np.testing.assert_array_equal(calls[cubed](tf.constant(x)), 9 * x**2)
    assert traces == [2, 3]
    variable.assign(1.0)
    np.testing.assert_array_equal(calls[whole](tf.constant(x)), 2 * x)
