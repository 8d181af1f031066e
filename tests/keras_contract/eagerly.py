"""Learners without a trace, for a product too large to trace every pair of.

What a learner computes for a task is the same Python code either way; that a trace of it, and a
vectorised one, gives the same numbers is a property of its own (`tests/conformance`).
"""

import contextlib

import tensorflow as tf


@contextlib.contextmanager
def eagerly():
    """Inside, `tf.function`s run eagerly, and tasks (and samples) one after another in a loop."""
    vectorized_map, before = tf.vectorized_map, tf.config.functions_run_eagerly()
    tf.vectorized_map = _looped
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
        tf.vectorized_map = vectorized_map


def _looped(function, elems, **_):
    """As `tf.vectorized_map`, one element after another."""
    count = len(tf.nest.flatten(elems)[0])
    found = [function(tf.nest.map_structure(lambda t, i=i: t[i], elems)) for i in range(count)]
    return tf.nest.map_structure(lambda *parts: tf.stack(parts), *found)
