"""Sinusoid regression: fit a sine of unknown amplitude and phase from a few points.

Finn et al. 2017, section 5.1: y = A sin(x - phase), A in U[0.1, 5], phase in U[0, pi],
x in U[-5, 5]. For more dimensions, here: every output o has an amplitude A_o and a phase for every
input d, and y_o = A_o / sqrt(D) * sum over d of sin(x_d - phase_od), D the number of inputs. One
input and one output give the paper's task, and the variance of y does not depend on D.
"""

import math

import tensorflow as tf

from tfmeta.tasks.draws import draw_key, random_bits, uniform
from tfmeta.tasks.stream import TaskStream, check_choice, check_whole_number

AMPLITUDES = (0.1, 5.0)
PHASES = (0.0, math.pi)
INPUTS = (-5.0, 5.0)
SPLITS = ("train", "validation", "test")


def sinusoid(
    split: str = "train",
    shots: int = 10,
    queries: int | None = None,
    seed: int = 0,
    count: int | None = None,
    start: int = 0,
    *,
    input_dim: int = 1,
    output_dim: int = 1,
    amplitudes: tuple[float, float] = AMPLITUDES,
    phases: tuple[float, float] = PHASES,
    inputs: tuple[float, float] = INPUTS,
) -> TaskStream:
    """A stream of sinusoid regression tasks, by default the paper's.

    Example:

    >>> import tfmeta
    >>> stream = tfmeta.tasks.sinusoid("test", shots=5, seed=1, count=600)
    >>> (support_x, support_y, query_x), query_y = stream.sample(0)
    >>> support_x.shape, query_y.shape
    (TensorShape([5, 1]), TensorShape([5, 1]))

    Args:
        split: "train", "validation" or "test": other tasks of the same distribution.
        shots: support points a task.
        queries: query points a task; None for as many as `shots`.
        seed: task i is a function of (seed, split, i). Its curve does not depend on `shots`.
        count: number of tasks; None for an endless stream.
        start: index of the first task.
        input_dim: number of inputs; the module's first lines define more than one.
        output_dim: number of outputs.
        amplitudes: lowest and highest amplitude.
        phases: lowest and highest phase, in radians.
        inputs: lowest and highest input.

    Returns:
        A `TaskStream` of `((support_x [S, input_dim], support_y [S, output_dim],
        query_x [Q, input_dim]), query_y [Q, output_dim])`, float32.

    Raises:
        ValueError: for an unknown split, an impossible number or an empty range.
    """
    queries = shots if queries is None else queries
    for name, value, least in (
        ("shots", shots, 1),
        ("queries", queries, 0),
        ("input_dim", input_dim, 1),
        ("output_dim", output_dim, 1),
    ):
        check_whole_number(name, value, least)
    check_choice("split", split, SPLITS)
    for name, limits in (("amplitudes", amplitudes), ("phases", phases), ("inputs", inputs)):
        _check_range(name, limits)
    key = draw_key(seed, "sinusoid", split, "inputs")
    points = shots + queries

    def sample_block(first, tasks):
        amplitude, phase = _draw_curves(
            seed, split, first, tasks, input_dim, output_dim, amplitudes, phases
        )
        drawn = uniform(random_bits(key, first, tasks, points * input_dim), *inputs)
        x = tf.reshape(drawn, [tasks, points, input_dim])
        y = sinusoid_curve(x, amplitude, phase)
        return (x[:, :shots], y[:, :shots], x[:, shots:]), y[:, shots:]

    info = {
        "name": "sinusoid",
        "kind": "regression",
        "split": split,
        "shots": shots,
        "queries": queries,
        "seed": seed,
        "input_dim": input_dim,
        "output_dim": output_dim,
        "amplitudes": list(amplitudes),
        "phases": list(phases),
        "inputs": list(inputs),
        "data_sha256": None,
    }
    return TaskStream(sample_block, info, start, count)


def sinusoid_parameters(
    seed: int,
    index: int,
    split: str = "test",
    *,
    input_dim: int = 1,
    output_dim: int = 1,
    amplitudes: tuple[float, float] = AMPLITUDES,
    phases: tuple[float, float] = PHASES,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns amplitude and phase of task `index`: what an oracle knows, and a picture draws.

    Example:

    >>> import tfmeta
    >>> from tfmeta.tasks.sinusoid import sinusoid_curve
    >>> stream = tfmeta.tasks.sinusoid("test", shots=5, seed=1)
    >>> (support_x, support_y, _), _ = stream.sample(3)
    >>> amplitude, phase = tfmeta.tasks.sinusoid_parameters(seed=1, index=3, split="test")
    >>> bool(abs(sinusoid_curve(support_x, amplitude, phase) - support_y).numpy().max() < 1e-5)
    True

    Args:
        seed: the stream's.
        index: the task's.
        split: the stream's.
        input_dim: the stream's.
        output_dim: the stream's.
        amplitudes: the stream's.
        phases: the stream's.

    Returns:
        amplitude float32 [output_dim] and phase float32 [output_dim, input_dim].
    """
    check_choice("split", split, SPLITS)
    check_whole_number("index", index, 0)
    amplitude, phase = _draw_curves(
        seed, split, tf.constant(index, tf.int64), 1, input_dim, output_dim, amplitudes, phases
    )
    return amplitude[0], phase[0]


def sinusoid_curve(inputs, amplitude, phase) -> tf.Tensor:
    """Evaluates y_o = A_o / sqrt(D) * sum over d of sin(x_d - phase_od).

    Args:
        inputs: [..., N, D].
        amplitude: [..., O].
        phase: [..., O, D].

    Returns:
        [..., N, O], in the type of `inputs`.
    """
    inputs = tf.convert_to_tensor(inputs)
    # In float64: a float32 sine's last bit depends on an element's place in its tensor, and so a
    # task would depend on its batch.
    x, amplitude, phase = (tf.cast(value, tf.float64) for value in (inputs, amplitude, phase))
    waves = tf.reduce_sum(tf.sin(x[..., :, None, :] - phase[..., None, :, :]), axis=-1)
    return tf.cast(amplitude[..., None, :] * waves / math.sqrt(x.shape[-1]), inputs.dtype)


def _draw_curves(seed, split, first, tasks, input_dim, output_dim, amplitudes, phases):
    """Amplitudes [tasks, output_dim] and phases [tasks, output_dim, input_dim]."""
    key = draw_key(seed, "sinusoid", split, "curves")
    bits = random_bits(key, first, tasks, output_dim * (1 + input_dim))
    amplitude = uniform(bits[:, :output_dim], *amplitudes)
    phase = uniform(bits[:, output_dim:], *phases)
    return amplitude, tf.reshape(phase, [tasks, output_dim, input_dim])


def _check_range(name, limits):
    if len(limits) != 2 or not limits[0] <= limits[1]:
        raise ValueError(
            f"{name} must be a lowest and a highest value. Received: {limits!r}. "
            f"Pass {name}=(low, high)."
        )
