"""The task axis: one function of one task, run over many."""

from tfmeta.parallel.chain_tasks import chain_tasks
from tfmeta.parallel.map_tasks import map_tasks

__all__ = ["chain_tasks", "map_tasks"]
