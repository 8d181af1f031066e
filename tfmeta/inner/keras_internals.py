"""What tfmeta needs of Keras beyond its public names: the only module that imports `keras.src`.

`tests/test_private_names.py` names what a version of Keras lacks.
"""

import keras
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import global_seed_generator

__all__ = ["global_seed_generator", "renormalises", "running_layers"]


def running_layers() -> list[keras.layers.Layer]:
    """The layers whose calls are running on this thread, the innermost last."""
    return [
        scope.caller
        for scope in global_state.get_global_attribute("name_scope_stack") or []
        if isinstance(scope.caller, keras.layers.Layer)
    ]


def renormalises(layer: keras.layers.BatchNormalization) -> bool:
    """Whether a batch normalisation renormalises; a Keras without `renorm` never does."""
    return getattr(layer, "renorm", False)
