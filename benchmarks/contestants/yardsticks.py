"""What the machine could do at best: a large product, and the products of a meta-step alone."""

import tensorflow as tf

from benchmarks.entries import Runner
from benchmarks.operations import LARGE, products


def large_product(workload):
    """One product of two large matrices."""
    left, right = _operands(LARGE, workload.dtype)

    @tf.function(autograph=False)
    def multiply(left, right):
        return tf.matmul(left, right)[0, 0, 0]

    return Runner(None, lambda: float(multiply(left, right)))


def products_alone(workload):
    """All products of layers that the formula counts, batched over tasks, one after another."""
    counts = products(workload)
    operands = [_operands(product, workload.dtype) for product in counts]

    @tf.function(autograph=False)
    def multiply(operands):
        seen, last = [], []
        for (left, right), count in zip(operands, counts.values(), strict=True):
            for _ in range(count):
                # In a chain two products do not fight over threads, nor are they taken for one
                # and the same; a number of each is looked at, or it would be left out.
                with tf.control_dependencies(last):
                    product = tf.matmul(left, right)
                last = [product]
                seen.append(product[0, 0, 0])
        return tf.add_n(seen)

    return Runner(None, lambda: float(multiply(operands)))


def _operands(product, dtype):
    tasks, rows, reduced, columns = product
    return (
        tf.random.stateless_uniform([tasks, rows, reduced], [0, 0], dtype=dtype),
        tf.random.stateless_uniform([tasks, reduced, columns], [0, 1], dtype=dtype),
    )
