"""iMAML by tfmeta."""

import tfmeta
from benchmarks.contestants.tfmeta.learners import make_network, training


def build(workload, parallel="auto", jit_compile=False):
    return training(workload, make_learner(workload, parallel), jit_compile)


def make_learner(workload, parallel):
    algorithm = workload.algorithm
    return tfmeta.IMAML(
        make_network(workload),
        algorithm.inner_rate,
        algorithm.inner_steps,
        regularization=algorithm.regularization,
        cg_steps=algorithm.cg_steps,
        parallel=parallel,
    )
