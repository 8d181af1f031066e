"""The card of a preset: what it was trained on, how it was measured, and what it is not for."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfmeta.presets.archive import Preset

# What is known of data by their names in an evaluation.
DATA_TERMS = {
    "glyphs": "made by the program",
    "mini_imagenet": (
        "images of ImageNet, whose terms allow research and education that is not commercial"
    ),
    "omniglot": "MIT, copyright 2015 Brenden Lake",
    "sinusoid": "made by the program",
}
_DATA = ("version", "data_sha256", "classes", "image_shape", "invert", "rotations", "levels")
_PROTOCOL = ("split", "tasks", "ways", "shots", "queries", "inner_steps", "seed", "checkpoint")


def card(preset: Preset) -> str:
    """The card as Markdown, from the evaluation of the run that the preset is of.

    Example:

    >>> import tfmeta
    >>> text = tfmeta.presets.card(tfmeta.presets.open_preset("sinusoid_maml"))
    >>> text.splitlines()[0]
    '# sinusoid_maml'

    Args:
        preset: of `open_preset`.

    Raises:
        ValueError: if the preset does not say what a card says.
    """
    try:
        return _card(preset)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            "A preset's card needs its evaluation and training as `python -m tfmeta.presets` "
            f"writes them. Received: {preset.name!r}, which has another form ({error!r}). Make "
            "the preset anew, or take another one."
        ) from error


def _card(preset: Preset) -> str:
    info = preset.info
    evaluation, training = info["evaluation"], info["training"]
    protocol = evaluation["protocol"]
    bytes_ = sum(array.nbytes for array in preset.arrays.values())
    count = sum(int(np.prod(array.shape)) for array in preset.arrays.values())
    lines = [
        f"# {preset.name}",
        "",
        f"A `tfmeta.{protocol['learner']}` of the network `{protocol.get('network', '?')}`: "
        f"{count:,} numbers, {bytes_:,} bytes.",
        "",
        "## Data",
        "",
        f"- name: {protocol.get('name', 'not stated')}",
        *_listed(protocol, _DATA),
        f"- terms: {info.get('data_license') or 'not stated'}",
        "",
        "## Training",
        "",
        f"- recipe: `{training['recipe']}`, seed {training['seed']}",
        f"- {protocol['checkpoint']} checkpoint, of step {training['step']:,} of the recipe's "
        f"{training['steps']:,}",
        f"- file made with: {', '.join(f'{n} {v}' for n, v in sorted(info['made_with'].items()))}",
        "",
        "## Result",
        "",
        "Protocol: "
        + ", ".join(
            f"{name} {_text(protocol[name])}"
            for name in _PROTOCOL
            if protocol.get(name) is not None
        )
        + ".",
        "",
        *_table(evaluation),
        "",
        "## Licence of the weights",
        "",
        info["license"],
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in info["limits"]),
    ]
    return "\n".join(lines) + "\n"


def usual_limits(evaluation: Mapping[str, Any], training: Mapping[str, Any]) -> list[str]:
    """What follows from an evaluation and a training for whoever uses the weights.

    Args:
        evaluation: a run's evaluation.json.
        training: `step`, `steps`, `seed`.
    """
    protocol = evaluation["protocol"]
    limits = []
    if training["step"] < training["steps"] and protocol.get("checkpoint") != "best":
        limits.append(
            f"Training ended at step {training['step']:,} of the recipe's {training['steps']:,}: "
            "the full run may be better."
        )
    if "ways" in protocol:
        limits.append(
            f"Measured on {protocol['ways']}-way {protocol['shots']}-shot tasks; not with other "
            "numbers of ways and shots."
        )
    if protocol.get("trained_normalization") == "transductive" and len(evaluation["results"]) > 1:
        limits.append(
            "Trained transductively: an answer depends on the other queries of its set, unless "
            "another normalisation is asked for, whose result the table shows."
        )
    limits.append(
        f"One training run, with seed {training['seed']}: the interval is over test tasks, not "
        "over runs."
    )
    if protocol.get("name"):
        limits.append(f"Measured on {protocol['name']} alone; not tried on other data.")
    return limits


def _listed(values: Mapping[str, Any], names) -> Iterator[str]:
    for name in names:
        if values.get(name) is not None:
            yield f"- {name}: {_text(values[name])}"


def _text(value) -> str:
    return " x ".join(map(str, value)) if isinstance(value, list) else str(value)


def _table(evaluation: Mapping[str, Any]) -> Iterator[str]:
    """A row for each normalisation and metric, after no, one and all inner steps."""
    steps = evaluation["protocol"]["inner_steps"]
    shown = sorted({0, min(1, steps), steps})
    yield "| normalisation | metric | " + " | ".join(map(_steps, shown)) + " | diverged |"
    yield "|---" * (len(shown) + 3) + "|"
    for mode, metrics in evaluation["results"].items():
        for metric, found in metrics.items():
            values = [_value(metric, found, step) for step in shown]
            yield f"| {mode} | {metric} | {' | '.join(values)} | {found['diverged']} |"


def _steps(number: int) -> str:
    return f"{number} step" if number == 1 else f"{number} steps"


def _value(metric: str, found: Mapping[str, Any], step: int) -> str:
    mean, interval = found["mean"][step], found["interval95"][step]
    if mean is None:
        return "not finite"
    if metric == "accuracy":
        spread = "" if interval is None else f" +- {100 * interval:.2f}"
        return f"{100 * mean:.2f}{spread} %"
    spread = "" if interval is None else f" +- {interval:.3g}"
    return f"{mean:.4g}{spread}"
