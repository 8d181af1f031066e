"""How the classes of a data set are divided into training, validation and test."""

import dataclasses
import warnings
from pathlib import Path

import numpy as np

from tfmeta.tasks.pool import Pool
from tfmeta.tasks.stream import check_choice

SPLITS = ("train", "validation", "test")


def split_classes(
    classes: int, split: str, validation: int, test: int, shuffle_seed: int = 0
) -> np.ndarray:
    """Returns the classes of a split, by a fixed shuffle; splits share no class.

    The shuffled classes are cut into train, validation and test, in this order.

    Args:
        classes: number of all classes.
        split: "train", "validation" or "test".
        validation: classes of validation.
        test: classes of test.
        shuffle_seed: another seed, another shuffle. The same on every machine and numpy
            (`RandomState` is frozen).

    Returns:
        int [classes of the split].
    """
    check_choice("split", split, SPLITS)
    order = np.random.RandomState(shuffle_seed).permutation(classes)
    train = classes - validation - test
    cuts = {
        "train": order[:train],
        "validation": order[train : train + validation],
        "test": order[train + validation :],
    }
    return cuts[split]


def split_by_fractions(
    pool: Pool, split: str, validation_fraction: float, test_fraction: float, shuffle_seed: int
) -> Pool:
    """Returns the pool of a split whose size is a fraction of the classes, or all of it.

    A warning says where the classes are where rounding keeps half of them or more from training
    although less was asked for.

    Args:
        pool: all classes.
        split: "train", "validation", "test", or "all".
        validation_fraction: share of the classes kept for validation, rounded, and at least one
            class unless it is 0.
        test_fraction: the same for testing.
        shuffle_seed: of the shuffle of the classes.
    """
    chosen, others = choose_split(
        len(pool.class_names), split, validation_fraction, test_fraction, shuffle_seed
    )
    return dataclasses.replace(pool.select(chosen), others=others) if others else pool


def choose_split(
    count: int,
    split: str,
    validation_fraction: float,
    test_fraction: float,
    shuffle_seed: int,
    kind: str = "classes",
) -> tuple[np.ndarray, str]:
    """Chooses the classes (or other sets) of a split by fractions.

    Args:
        count: number of all of them.
        split: "train", "validation", "test", or "all".
        validation_fraction: as of `split_by_fractions`.
        test_fraction: as of `split_by_fractions`.
        shuffle_seed: as of `split_by_fractions`.
        kind: what they are, for messages.

    Returns:
        Their positions, and where the others are; an empty text for "all".
    """
    check_choice("split", split, (*SPLITS, "all"))
    _check_fractions(validation_fraction, test_fraction)
    if split == "all":
        return np.arange(count), ""
    sizes = split_sizes(count, validation_fraction, test_fraction)
    if sizes[split] < 1 or sizes["train"] < 0:
        raise ValueError(
            f"Split {split!r} must get at least one of the {kind}. Received: {count} {kind}, "
            f"validation_fraction={validation_fraction}, test_fraction={test_fraction}. "
            f"Give more {kind}, change the fractions, or pass split='all'."
        )
    text = ", ".join(f"{size} in {name}" for name, size in sizes.items())
    held_out = count - sizes["train"]
    if 2 * held_out >= count > 2 * (validation_fraction + test_fraction) * count:
        warnings.warn(
            f"Half of the {kind} or more are kept from training. Received: {count} {kind}, of "
            f"which {text}. Pass split='all' for all of them, or smaller fractions.",
            stacklevel=4,
        )
    chosen = split_classes(count, split, sizes["validation"], sizes["test"], shuffle_seed)
    return chosen, f"of {count} {kind} {text}"


def split_sizes(count: int, validation_fraction: float, test_fraction: float) -> dict[str, int]:
    """How many of `count` classes each split gets; train gets what the others leave."""
    validation, test = (
        max(1, round(fraction * count)) if fraction else 0
        for fraction in (validation_fraction, test_fraction)
    )
    return {"train": count - validation - test, "validation": validation, "test": test}


def split_by_folders(pool: Pool, split: str, folders: dict[str, str], root: Path) -> Pool:
    """Returns the pool of a split of a folder that is divided by folders.

    Args:
        pool: classes named "train/cat" and the like.
        split: "train", "validation", "test", or "all".
        folders: of `image_files.split_folders`.
        root: the folder, for messages.
    """
    check_choice("split", split, (*SPLITS, "all"))
    if split != "all" and split not in folders:
        raise ValueError(
            f"Split {split!r} needs a folder of its own where folders divide the classes. "
            f"Received: {root} with {', '.join(sorted(folders.values()))}. Add a folder for it, or "
            f"pass split='all' or one of {', '.join(map(repr, folders))}."
        )
    named = [name.split("/", 1) for name in pool.class_names]
    members = {name: {rest for part, rest in named if part == name} for name in folders.values()}
    shared = sorted(set.intersection(*members.values())) if len(members) > 1 else []
    if shared:
        warnings.warn(
            "Splits for few-shot learning share no class. Received: "
            f"{root}, whose {' and '.join(members)} share {len(shared)} classes, e.g. "
            f"{shared[0]}. Tasks of the held-out split then test new images, not new classes.",
            stacklevel=3,
        )
    wanted = set(members) if split == "all" else {folders[split]}
    positions = [k for k, (part, _) in enumerate(named) if part in wanted]
    by_name: dict[str, list[int]] = {}
    for position in positions:
        by_name.setdefault(named[position][1], []).append(position)
    chosen = pool.select([position for name in sorted(by_name) for position in by_name[name]])
    counts = [sum(int(pool.counts[k]) for k in by_name[name]) for name in sorted(by_name)]
    sizes = ", ".join(f"{len(classes)} in {name}" for name, classes in members.items())
    return dataclasses.replace(
        chosen, counts=np.asarray(counts), class_names=tuple(sorted(by_name)), others=sizes
    )


def _check_fractions(validation_fraction: float, test_fraction: float) -> None:
    for name, fraction in (
        ("validation_fraction", validation_fraction),
        ("test_fraction", test_fraction),
    ):
        if not 0 <= fraction < 1:
            raise ValueError(
                f"{name} must be at least 0 and below 1. Received: {fraction!r}. "
                "Pass the share of the classes, e.g. 0.2."
            )
