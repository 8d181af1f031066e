"""iMAML by tfmeta."""

import tfmeta
from benchmarks.contestants.tfmeta.learners import make_network, training


def build(workload, parallel="auto", jit_compile=False):
    algorithm = workload.algorithm
    learner = tfmeta.IMAML(
        make_network(workload),
        algorithm.inner_rate,
        algorithm.inner_steps,
        regularization=algorithm.regularization,
        cg_steps=algorithm.cg_steps,
        parallel=parallel,
    )
    return training(workload, learner, jit_compile)
