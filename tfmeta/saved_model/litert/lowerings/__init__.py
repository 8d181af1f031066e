"""Operations that LiteRT lacks, or that its converter gets wrong, written in builtin ones."""

from tfmeta.saved_model.litert.lowerings import (  # noqa: F401, each registers its operations
    activations,
    arithmetic,
    convolutions,
    indexing,
    losses,
    pooling,
    reductions,
)
from tfmeta.saved_model.litert.lowerings.registry import LOWERINGS, lowered

__all__ = ["LOWERINGS", "lowered"]
