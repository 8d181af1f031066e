"""MAML by tfmeta."""

import tfmeta
from benchmarks.contestants.tfmeta.learners import make_network, training


def build(workload, parallel="auto", jit_compile=False):
    algorithm = workload.algorithm
    learner = tfmeta.MAML(
        make_network(workload),
        algorithm.inner_rate,
        algorithm.inner_steps,
        first_order=algorithm.first_order,
        parallel=parallel,
    )
    return training(workload, learner, jit_compile)
