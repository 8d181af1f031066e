"""Parts of a learner, and the named groups of variables that they ask for."""

import collections
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf


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
    """

    changes: tuple[str, ...] = ()
    needs_embedding: bool = False
    chains_state: bool = False

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        package = cls.__module__.partition(".")[0]
        keras.saving.register_keras_serializable(package)(cls)

    def groups(self, network) -> list[Group]:
        """The groups of variables that the part needs, in the order in which they are made.

        Args:
            network: the learner's `TaskNetwork`.
        """
        return []

    def without_gradient(self, network) -> Sequence[str]:
        """Paths of weights of the network that may have no meta-gradient; it then counts as 0.

        Args:
            network: the learner's `TaskNetwork`.
        """
        return ()

    def check_network(self, network) -> None:
        """Raises a ValueError if the part's fields do not fit the network.

        Args:
            network: the learner's `TaskNetwork`.
        """

    def check_loss(self, network) -> None:
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


def _field_names(part) -> list[str]:
    return [f.name for f in dataclasses.fields(part)] if dataclasses.is_dataclass(part) else []


class NamedGroups:
    """Variables in named groups, and named tuples of tensors of the same structure.

    Keras, optimisers, checkpoints and SavedModels see flat lists; parts see named tuples. This
    class alone knows how one becomes the other. Tuples are used, not dicts: `tf.nest` would sort
    a dict's keys.

    Args:
        kind: name of the tuple's type.
        groups: `(name, variables, paths)` of each group; a later group replaces an earlier one of
            the same name.
    """

    def __init__(self, kind: str, groups: Sequence[tuple[str, list, list]]):
        self._groups = {name: (list(variables), list(paths)) for name, variables, paths in groups}
        fields = collections.namedtuple(kind, self._groups)
        self._structure = fields(*([0] * len(found) for found, _ in self._groups.values()))

    @property
    def names(self) -> list[str]:
        """Name of each group, in order."""
        return list(self._groups)

    @property
    def variables(self) -> list:
        """All variables, group by group."""
        return [variable for found, _ in self._groups.values() for variable in found]

    @property
    def paths(self) -> list[str]:
        """Path of each of `variables`."""
        return [path for _, paths in self._groups.values() for path in paths]

    def paths_of(self, name: str) -> list[str]:
        """Paths of one group."""
        return self._groups[name][1]

    def variables_of(self, name: str) -> list:
        """Variables of one group.

        Raises:
            ValueError: for a name that no group has.
        """
        if name not in self._groups:
            raise ValueError(
                f"A group must be one of {', '.join(self._groups)}. Received: {name!r}."
            )
        return self._groups[name][0]

    def pack(self, flat) -> Any:
        """The named tuple of lists of a flat list."""
        return tf.nest.pack_sequence_as(self._structure, list(flat))


def made(owner: keras.Model, group: Group) -> tuple[str, list, list]:
    """`(name, variables, paths)` of a group, whose missing variables `owner` gets.

    Args:
        owner: the learner, by whose `add_weight` variables are made.
        group: `Group`.
    """
    variables, paths = [], []
    for entry in group.entries:
        if not isinstance(entry, WeightSpec):
            path, variable = entry
        else:
            path = entry.path
            variable = owner.add_weight(
                shape=entry.shape,
                dtype=entry.dtype,
                initializer=entry.initializer,
                trainable=group.learned,
                constraint=entry.constraint,
                name=entry.name,
            )
        variables.append(variable)
        paths.append(path)
    return group.name, variables, paths
