"""Paths of weights that do not depend on the networks made before in the same process."""

import re

import keras


def counted_paths(network: keras.Model) -> dict[str, str]:
    """Each path of a trainable weight, and the same path with Keras' own names counted anew.

    Keras numbers the names that it gives itself ("dense_7") within the process. Here they count
    within the network, as they do in a new process: "dense", "dense_1". Other names stay.

    Args:
        network: a built `keras.Model`.
    """
    prefix = network.name + "/"
    paths = [variable.path.removeprefix(prefix) for variable in network.trainable_variables]
    kinds = {_snake_case(type(layer).__name__) for layer in network._flatten_layers()}
    numbers: dict[str, set] = {}
    for path in paths:
        for kind, number in map(_split, path.split("/")[:-1]):
            numbers.setdefault(kind, set()).add(number)

    def counted(name):
        kind, number = _split(name)
        if kind not in kinds:
            return name
        rank = sorted(numbers[kind]).index(number)
        return f"{kind}_{rank}" if rank else kind

    return {
        path: "/".join([*map(counted, path.split("/")[:-1]), path.split("/")[-1]]) for path in paths
    }


def _split(name):
    """("dense", 7) of "dense_7", ("dense", 0) of "dense"."""
    found = re.fullmatch(r"(.+)_(\d+)", name)
    return (found[1], int(found[2])) if found else (name, 0)


def _snake_case(name):
    """As Keras makes a name of a class's."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
