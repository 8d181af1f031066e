"""Parts of a policy's learner that Keras saves with it: their fields are their configuration."""

import dataclasses
from typing import Any, ClassVar

import keras


class SavedFields:
    """Base of dataclasses that `keras.saving` can write and read."""

    __dataclass_fields__: ClassVar[dict[str, Any]]  # of the class below

    def get_config(self) -> dict[str, Any]:
        """Every field, as Keras serialises it."""
        return {
            field.name: keras.saving.serialize_keras_object(getattr(self, field.name))
            for field in dataclasses.fields(self)
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The object that `get_config` described."""
        found = {name: keras.saving.deserialize_keras_object(v) for name, v in config.items()}
        return cls(**found)
