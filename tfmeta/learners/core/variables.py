"""The variables of a learner in named groups: its parameters, and its state as it changes."""

import collections
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.batch.task_weights import mean_of_tasks
from tfmeta.learners.core.parts import Group, WeightSpec


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
        fields: Any = collections.namedtuple(kind, self._groups)  # type: ignore[misc]
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


def make_groups(
    learner: keras.Model, pure: inner.PureNetwork, groups: Sequence[Group]
) -> tuple[NamedGroups, NamedGroups]:
    """The parameters and the state of a learner: the network's variables, then its parts'.

    Args:
        learner: gets the variables that the groups ask for.
        pure: the learner's network.
        groups: of the learner's parts, in the order in which their variables are made.
    """
    network = pure.network
    fixed = network.non_trainable_variables
    paths = [inner.relative_path(network, variable) for variable in fixed]
    weights = ("network", list(network.trainable_variables), list(pure.paths))
    learned = [made(learner, group) for group in groups if group.learned]
    others = [made(learner, group) for group in groups if not group.learned]
    return (
        NamedGroups("Parameters", [weights, *learned]),
        NamedGroups("State", [("network", list(fixed), paths), *others]),
    )


def without(variables: Sequence, excluded: Sequence) -> list:
    """The variables that are not among others."""
    known = {id(variable) for variable in excluded}
    return [variable for variable in variables if id(variable) not in known]


def mean_over_tasks(
    stacked: list[tf.Tensor], previous: list[tf.Tensor], weight: tf.Tensor | None = None
) -> list[tf.Tensor]:
    """Mean of state over tasks [T, ...]; integers (counters) move by the rounded mean change.

    Args:
        stacked: list of tensors [T, ...].
        previous: list of tensors, the state that all tasks started from.
        weight: [T], the tasks' weights, or None. Without a task of a weight above 0 the state
            stays as it was.
    """

    def mean(new, old):
        if new.dtype.is_floating:
            found = mean_of_tasks(new, weight)
        else:
            # A change, not a value: large counters are no float64.
            change = tf.cast(new, tf.int64) - tf.cast(old, tf.int64)
            change = tf.round(mean_of_tasks(tf.cast(change, tf.float64), weight))
            found = tf.cast(tf.cast(old, tf.int64) + tf.cast(change, tf.int64), old.dtype)
        return found if weight is None else tf.where(tf.reduce_any(weight > 0), found, old)

    return [mean(new, old) for new, old in zip(stacked, previous, strict=True)]


def changed_groups(learner) -> frozenset[str]:
    """Names of the groups of state that a meta-step assigns.

    Args:
        learner: a `MetaLearner`.
    """
    pure = learner.task_network.pure
    moves = (learner.normalization == "running" and pure.averaging) or pure.moving
    names = [name for part in learner.parts for name in part.changes]
    return frozenset([*(("network",) if moves else ()), *names])


def assign_state(learner, state: list[tf.Tensor], updates) -> None:
    """Assigns what a meta-step changes of a learner's state.

    Args:
        learner: a `MetaLearner`.
        state: list of tensors, the mean of the states that the tasks of a batch leave.
        updates: number of updates of the parameters, an int or an integer scalar tensor.
    """
    groups = learner.state_groups
    values = learner.gradient_rule.after_updates(groups.pack(state), updates)
    changed = changed_groups(learner)
    for name in groups.names:
        if name not in changed:
            continue
        for variable, value in zip(groups.variables_of(name), getattr(values, name), strict=True):
            if not inner.is_seed(variable):
                variable.assign(value)
