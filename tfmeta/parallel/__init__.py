"""The task axis: one function of one task, run over many."""

from tfmeta.parallel.chain_tasks import chain_tasks
from tfmeta.parallel.converters import install
from tfmeta.parallel.map_tasks import map_tasks, noting_refusals

__all__ = ["chain_tasks", "map_tasks", "noting_refusals"]

# At once: a user's own Jacobian of a network goes through a vectorised map too.
install()
