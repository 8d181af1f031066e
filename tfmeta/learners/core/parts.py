"""Parts of a learner, and the groups of variables that they ask for."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras

if TYPE_CHECKING:
    from tfmeta.learners.core.task_network import TaskNetwork


class WeightSpec(NamedTuple):
    """A variable that the learner makes for a part.

    Attributes:
        path: name in messages and of the parameter ("rate/conv_1/kernel").
        shape: of the variable.
        dtype: of the variable.
        initializer: a Keras initializer, or a function of (shape, dtype) to a tensor.
        name: of the Keras variable.
        constraint: a Keras constraint, or None.
    """

    path: str
    shape: tuple
    dtype: str
    initializer: Callable[..., Any] | str
    name: str
    constraint: Any = None


class Group(NamedTuple):
    """Variables that belong together: one field of the parameters, or of the state.

    Attributes:
        name: of the field ("rates").
        entries: `WeightSpec` of each variable, or an existing Keras variable with its path as
            a pair `(path, variable)`.
        learned: whether the outer optimiser moves the variables (a field of the parameters);
            otherwise they are a field of the state.
        gradient_optional: whether a variable of the group may have no meta-gradient; it then
            counts as 0.
    """

    name: str
    entries: Sequence[Any]
    learned: bool = True
    gradient_optional: bool = False


class Part:
    """A piece of an adaptation or of a gradient rule: a frozen dataclass without variables.

    Subclasses are registered with `keras.saving` under the name of their top package, and saved
    with their fields, so that a learner which holds them can be saved and loaded.

    Attributes:
        changes: names of the groups of state that a meta-step assigns.
        chains_state: whether tasks of a batch pass the state on, one to the next.
        needs_embedding: whether the part works with the network before its last layer.
        only_adapted: whether the part takes no derivative of the network but by weights that
            adapt, or leaves the network alone. Where all parts of an adaptation say so, layers
            before the first that adapts run once a task. A subclass says so for itself: the
            attribute is not inherited.
        any_ways: whether the part sets the head from the support set alone, so that a task may
            have any number of classes.
        sets_prototypes: whether the head is 2 c_k and -||c_k||^2 for prototypes c_k.
    """

    changes: tuple[str, ...] = ()
    needs_embedding: bool = False
    chains_state: bool = False
    only_adapted: bool = False
    any_ways: bool = False
    sets_prototypes: bool = False

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "only_adapted" not in vars(cls):
            cls.only_adapted = False  # What a base says of its own code says nothing of this one.
        package = cls.__module__.partition(".")[0]
        keras.saving.register_keras_serializable(package)(cls)

    def groups(self, network: "TaskNetwork") -> list[Group]:
        """The groups of variables that the part needs, in the order in which they are made.

        Args:
            network: the learner's `TaskNetwork`.
        """
        return []

    def without_gradient(self, network: "TaskNetwork") -> Sequence[str]:
        """Paths of weights of the network that may have no meta-gradient; it then counts as 0.

        Args:
            network: the learner's `TaskNetwork`.
        """
        return ()

    def check_network(self, network: "TaskNetwork") -> None:
        """Raises a ValueError if the part's fields do not fit the network.

        Args:
            network: the learner's `TaskNetwork`.
        """

    def check_loss(self, network: "TaskNetwork") -> None:
        """Raises a ValueError if the part cannot work with the loss given to `compile`.

        Args:
            network: the learner's `TaskNetwork`, with its losses.
        """

    def get_config(self) -> dict[str, Any]:
        """The fields, for `keras.saving`."""
        return {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in _field_names(self)
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Part":
        """The inverse of `get_config`."""
        return cls(**{name: keras.saving.deserialize_keras_object(v) for name, v in config.items()})


def parts_of(*roots) -> list[Part]:
    """All parts among `roots` and in their fields, each once.

    A part that two others share makes its variables once. Parts are compared by value, which
    survives saving and loading.
    """
    found: list[Part] = []
    for root in roots:
        if isinstance(root, Part) and root not in found:
            nested = parts_of(*(getattr(root, name) for name in _field_names(root)))
            found += [root, *(part for part in nested if part not in found and part != root)]
    return found


def only_adapted(adaptation: Part) -> bool:
    """Whether an adaptation and all its parts declare `Part.only_adapted`."""
    return all(part.only_adapted for part in parts_of(adaptation))


def _field_names(part) -> list[str]:
    return [f.name for f in dataclasses.fields(part)] if dataclasses.is_dataclass(part) else []
