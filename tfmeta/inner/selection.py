"""Choosing weights by patterns on their paths."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tfmeta.inner.network import relative_path

_SPECIAL = re.compile(r"([*?[])")


def patterns_of(network: keras.Model, chosen: Any, *, argument: str) -> list[str] | None:
    """What a caller chose among a network's trainable weights, as patterns for `select`.

    Args:
        network: the `keras.Model`.
        chosen: None, or a pattern, a layer of the network (for its trainable weights), or a list
            of these.
        argument: name of the caller's argument, for the error.

    Returns:
        None or a list of patterns.

    Raises:
        ValueError: for a layer that is not the network's, or has no trainable weights, or whose
            weights share their paths with others.
    """
    if chosen is None:
        return None
    every = [relative_path(network, variable) for variable in network.trainable_variables]
    patterns = []
    for each in [chosen] if isinstance(chosen, (str, keras.layers.Layer)) else chosen:
        if isinstance(each, keras.layers.Layer):
            patterns += _paths_of(network, each, every, argument)
        else:
            patterns.append(each)
    return patterns


def _paths_of(network, layer, every, argument):
    """Patterns that match the paths of a layer's trainable weights, and nothing else."""
    if not any(layer is known for known in network._flatten_layers()):
        raise ValueError(
            f"A layer in {argument} must be a layer of the network. Received: {layer.name!r} "
            f"for {network.name!r}. Take it from there: network.get_layer(...)."
        )
    paths = [relative_path(network, variable) for variable in layer.trainable_variables]
    if not paths:
        raise ValueError(
            f"A layer in {argument} must have weights that train. Received: {layer.name!r}, which "
            "has none. Set layer.trainable = True before, or leave the layer out."
        )
    shared = [path for path in paths if every.count(path) > 1]
    if shared:
        raise ValueError(
            f"The weights of a layer in {argument} must have paths of their own. Received: "
            f"{layer.name!r}, which shares {', '.join(shared)} with another layer. Give the layers "
            "names of their own."
        )
    return [_SPECIAL.sub(r"[\1]", path) for path in paths]


def select(
    paths: Sequence[str], patterns: str | Sequence[str] | None, *, argument: str
) -> list[int]:
    """Returns the indices of the paths that match any of the patterns, in order.

    Args:
        paths: of all weights, as "conv_1/kernel".
        patterns: a string or strings in `fnmatch`'s syntax ("norm_*/beta", "head/*"); a leading
            "!" leaves matches out ("!norm_*" alone: all but these); None: all.
        argument: name of the caller's argument, for the error.

    Raises:
        ValueError: if a pattern matches nothing, or nothing is left.
    """
    if patterns is None:
        return list(range(len(paths)))
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    excluded = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    included = [pattern for pattern in patterns if not pattern.startswith("!")] or ["*"]
    for pattern in [*included, *excluded]:
        require_match(paths, pattern, argument)
    chosen = [
        index
        for index, path in enumerate(paths)
        if any(fnmatch.fnmatchcase(path, p) for p in included)
        and not any(fnmatch.fnmatchcase(path, p) for p in excluded)
    ]
    if not chosen:
        raise ValueError(
            f"{argument} must leave some weights. Received: {patterns!r}. "
            f"The network's weights are: {', '.join(paths)}."
        )
    return chosen


def by_pattern(paths: Sequence[str], value: Any, *, argument: str) -> list:
    """Returns one value a path: `value` for all, or of the first pattern of a dict that matches.

    Raises:
        ValueError: if a pattern matches nothing, or a path is matched by no pattern.
    """
    if not isinstance(value, Mapping):
        return [value] * len(paths)
    for pattern in value:
        require_match(paths, pattern, argument)
    chosen = []
    for path in paths:
        matches = [v for pattern, v in value.items() if fnmatch.fnmatchcase(path, pattern)]
        if not matches:
            raise ValueError(
                f"{argument} must give every adapted weight a value. Received none for: {path}. "
                'Add a last pattern "*".'
            )
        chosen.append(matches[0])
    return chosen


def require_match(paths, pattern, argument):
    """Raises a ValueError that lists the paths if `pattern` matches none of them."""
    if not any(fnmatch.fnmatchcase(path, pattern) for path in paths):
        raise ValueError(
            f"A pattern of {argument} must match a weight. Received: {pattern!r}. "
            f"The network's weights are: {', '.join(paths)}."
        )
