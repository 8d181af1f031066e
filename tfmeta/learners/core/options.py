"""Options that learners and their methods take, by name, so that an editor completes them."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import keras


class SharedOptions(TypedDict, total=False):
    """Keyword arguments of every learner; `MetaLearner` says what each means."""

    test_inner_steps: int | None
    inner_loss: Any
    dropout: bool
    seed: int
    parallel: str
    tasks_per_pass: int | None
    rematerialize: bool
    meta_gradient_clip: float | None
    diverged_tasks: str
    name: str | None


class OptionsWithAdapted(SharedOptions, total=False):
    """Those of a learner that has a `normalization` of its own."""

    adapted: str | keras.layers.Layer | Sequence[str | keras.layers.Layer] | None


class OptionsWithNormalization(SharedOptions, total=False):
    """Those of a learner that says which weights adapt."""

    normalization: str


class LearnerOptions(OptionsWithAdapted, OptionsWithNormalization, total=False):
    """All options of `MetaLearner` beside its parts and its number of inner steps."""


class CompileOptions(TypedDict, total=False):
    """Further arguments of `keras.Model.compile`."""

    loss_weights: Any
    weighted_metrics: Any
    run_eagerly: bool
    steps_per_execution: int
    auto_scale_loss: bool


class FitOptions(TypedDict, total=False):
    """Further arguments of `keras.Model.fit`."""

    verbose: str | int
    callbacks: Any
    validation_split: float
    validation_data: Any
    shuffle: bool
    class_weight: Mapping[int, float] | None
    sample_weight: Any
    initial_epoch: int
    steps_per_epoch: int | None
    validation_steps: int | None
    validation_batch_size: int | None
    validation_freq: int


class EvaluateOptions(TypedDict, total=False):
    """Further arguments of `keras.Model.evaluate`."""

    verbose: str | int
    sample_weight: Any
    callbacks: Any
    return_dict: bool


class PredictOptions(TypedDict, total=False):
    """Further arguments of `keras.Model.predict`."""

    verbose: str | int
    callbacks: Any


class ServableOptions(TypedDict, total=False):
    """Further arguments of `tfmeta.learners.answers.servable.make_servable`.

    It says what each means.
    """

    max_ways: int | None
    target_shape: Sequence[int] | None
    outliers: Mapping[str, Any] | None
    preprocessing: Mapping[str, Any] | None
    usual_sizes: Sequence[tuple[int, int]]
    metadata: Mapping[str, Any] | None


class ExportLimits(TypedDict, total=False):
    """Further arguments of `tfmeta.saved_model.export_servable`, which says what each means."""

    max_support: int
    max_query: int
    max_tasks: int
    max_inner_steps: int
    warmup_sizes: Sequence[tuple[int, int]] | None
    preprocessing: Mapping[str, Any] | None
    metadata: Mapping[str, Any] | None


class PresetOptions(LearnerOptions, total=False):
    """Arguments of a learner's constructor that `from_preset` may replace; its class has more."""

    inner_rate: Any
    inner_steps: int
    first_order: bool
    inner_optimizer: Any
