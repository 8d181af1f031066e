"""Keras' loops over batches of tasks: what is checked and made before they begin."""

import functools

import keras
import numpy as np
import tensorflow as tf

from tfmeta.learners import batch_checks, checks, stream_checks, thread_advice
from tfmeta.learners.arrays import batch_tensors, texts_as_tensors
from tfmeta.learners.class_weights import (
    ClassWeights,
    split_off_validation,
    with_class_weights,
)
from tfmeta.learners.errors import in_words
from tfmeta.learners.guards import (
    GuardedStep,
    assert_outside_xla,
    checked_task,
    with_assertions,
)


class Fitting:
    """Mixin before `keras.Model`: `fit`, `evaluate`, `predict` and their steps on one batch."""

    def evaluate(self, x=None, y=None, batch_size=None, *, steps=None, **options):
        """As `keras.Model.evaluate`; an endless stream needs `steps`.

        Warns where the loss is not finite, and says whether the weights are.
        """
        stream_checks.check_ends(x, steps, "steps", "Evaluating on")
        x = texts_as_tensors(x)
        self._prepare(x, y, options.get("sample_weight"))
        self.evaluated_tasks.assign(0)
        with in_words():
            results = super().evaluate(x, y, batch_size, steps=steps, **options)
        batch_checks.warn_if_diverged(self, results)
        return results

    def fit(self, x=None, y=None, batch_size=None, epochs=1, **options):
        """As `keras.Model.fit`, on a stream of tasks; an endless one needs `steps_per_epoch`.

        `class_weight` weights each query by its class, within its task.
        """
        steps = options.get("steps_per_epoch")
        stream_checks.check_ends(x, steps, "steps_per_epoch", "Fitting on")
        validation = options.get("validation_data")
        stream_checks.check_ends(
            _inputs_of(validation),
            options.get("validation_steps"),
            "validation_steps",
            "Validating on",
        )
        if isinstance(x, tf.data.Dataset):
            # A stream has its order; Keras warns that it would not shuffle it.
            options.setdefault("shuffle", False)
        x = texts_as_tensors(x)
        self._prepare(x, y, options.get("sample_weight"))
        if options.get("class_weight") is not None:
            x, y, options = self._with_class_weights(x, y, options)
            validation = options.get("validation_data")
        if self.jit_compile and isinstance(x, tf.data.Dataset):
            x = with_assertions(self, x)
        if isinstance(validation, (tuple, list)):
            self._check_arrays(*keras.utils.unpack_x_y_sample_weight(validation))
        if options.get("verbose", "auto"):
            thread_advice.advise(self, x)
        with in_words():
            return super().fit(x, y, batch_size, epochs, **options)

    def predict(self, x, batch_size=None, *, steps=None, **options):
        """As `keras.Model.predict`: raw outputs [T, Q, ...]; an endless stream needs `steps`."""
        stream_checks.check_ends(x, steps, "steps", "Predicting on")
        x = texts_as_tensors(x)
        self._check_arrays(x)
        with in_words():
            return super().predict(x, batch_size, steps=steps, **options)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, **options):
        """As `keras.Model.train_on_batch`: one meta-step."""
        x, y, sample_weight = batch_tensors(x, y, sample_weight)
        self._prepare(x, y, sample_weight)
        if class_weight is not None:
            sample_weight = self._class_weights(class_weight, sample_weight).of(y)
        with in_words():
            return super().train_on_batch(x, y, sample_weight, **options)

    def test_on_batch(self, x, y=None, *arguments, **options):
        """As `keras.Model.test_on_batch`, on one batch of tasks."""
        x, y, _ = batch_tensors(x, y)
        self._prepare(x, y)
        self.evaluated_tasks.assign(0)
        with in_words():
            return super().test_on_batch(x, y, *arguments, **options)

    def predict_on_batch(self, x):
        """As `keras.Model.predict_on_batch`: raw outputs [T, Q, ...]."""
        with in_words():
            return super().predict_on_batch(batch_tensors(x)[0])

    def make_train_function(self, force=False):
        """As `keras.Model`'s; what it makes checks a batch in front of each trace."""
        several = self.distribute_strategy.num_replicas_in_sync > 1
        make = self._make_replicated if several else super().make_train_function
        self._make_guarded("train_function", make, force, trains=True)

    def make_test_function(self, force=False):
        """As `keras.Model`'s; what it makes checks a batch in front of each trace."""
        self._make_guarded("test_function", super().make_test_function, force, trains=True)

    def make_predict_function(self, force=False):
        """As `keras.Model`'s; what it makes checks a batch in front of each trace."""
        self._make_guarded("predict_function", super().make_predict_function, force, trains=False)

    def build_metrics(self, element_spec):
        """Makes the metrics' variables for batches of this spec.

        Metrics are otherwise made within the first trace of a step, which TensorFlow then repeats,
        and which a batch that is refused would end before all are made.
        """
        _, targets, _ = keras.utils.unpack_x_y_sample_weight(element_spec)
        output_shape = getattr(self.network, "output_shape", None)
        if self._compile_metrics is None or self._compile_metrics.built:
            return
        if targets is not None and isinstance(output_shape, tuple):
            # Metrics see all queries of a batch as one set.
            outputs = keras.KerasTensor((None, *output_shape[1:]))
            flat = keras.KerasTensor((None, *targets.shape[2:]), targets.dtype.name)
            self._compile_metrics.build(flat, outputs)

    def _class_weights(self, class_weight, sample_weight):
        checks.check_compiled(self)
        if sample_weight is not None:
            raise ValueError(
                "Queries have one weight. Received: class_weight and sample_weight. Multiply them "
                "into one sample_weight [tasks, queries]."
            )
        if not self.learns_from_queries:
            raise ValueError(
                f"class_weight weights queries, from which {type(self).__name__} does not learn. "
                f"Received: class_weight={class_weight!r}. Pass support weights: "
                "((support_x, support_y, query_x, support_weights), query_y)."
            )
        shape = getattr(self.network, "output_shape", None)
        return ClassWeights(class_weight, self.loss_function.kind, shape)

    def _with_class_weights(self, x, y, options):
        """(x, y, options) of `fit`, class weights of training data as sample weights."""
        options = dict(options)
        weights = self._class_weights(options.pop("class_weight"), options.get("sample_weight"))
        if y is None:
            return with_class_weights(weights, x), None, options
        share = options.pop("validation_split", 0.0)
        if share and options.get("validation_data") is None:
            x, y = keras.tree.map_structure(np.asarray, (x, y))
            (x, y), options["validation_data"] = split_off_validation((x, y), share)
        options["sample_weight"] = np.asarray(weights.of(y))
        return x, y, options

    def _maybe_symbolic_build(self, *arguments, **options):
        # Keras adds up the replicas' shares of a batch there, which fails where they differ in
        # size. A learner is built with its network; its metrics by `build_metrics`.
        if self._compile_metrics is not None and not self._compile_metrics.built:
            super()._maybe_symbolic_build(*arguments, **options)

    def _make_replicated(self, force=False):
        """Makes a `train_function` of several replicas, which take the step of one device.

        Keras applies gradients in each replica, where an optimizer clips those of the replica's
        share of the tasks, and can neither accumulate them nor overwrite weights by averages.
        """
        step = self.replicated_train_step
        if not self.run_eagerly:
            step = tf.function(
                step, autograph=False, reduce_retracing=True, jit_compile=self.jit_compile
            )
        self.train_function = functools.partial(_several_steps, self, step)

    def _make_guarded(self, name, make, force, *, trains):
        if getattr(self, name) is not None and not force:
            return

        def keras_function():
            make(force=True)
            made = getattr(self, name)
            setattr(self, name, guarded)
            return made

        guarded = GuardedStep(self, keras_function, trains=trains)
        setattr(self, name, guarded)

    def _prepare(self, x, y, sample_weight=None):
        with self.distribute_strategy.scope():
            if isinstance(x, tf.data.Dataset):
                checked_task(self, x.element_spec, trains=True)
                self.build_metrics(x.element_spec)
            else:
                self._check_arrays(x, y, sample_weight)
                if hasattr(y, "shape"):
                    self.build_metrics((x, y))

    def _check_arrays(self, x, y=None, sample_weight=None):
        """Checks arrays as a whole, before Keras says in its own words that sizes differ."""
        if isinstance(x, tf.data.Dataset) or not _holds_arrays(x):
            return
        if sample_weight is not None and not hasattr(sample_weight, "shape"):
            sample_weight = tf.convert_to_tensor(sample_weight)
        task = checked_task(self, (x, y, sample_weight), trains=False)
        if self.jit_compile:
            with in_words():
                assert_outside_xla(self, [task])


def _inputs_of(validation):
    """What a stream's end is asked of; arrays come as a tuple, a stream by itself."""
    return None if isinstance(validation, (tuple, list)) else validation


def _holds_arrays(x) -> bool:
    leaves = tf.nest.flatten(x) if isinstance(x, (tuple, list, dict)) else [x]
    return bool(leaves) and all(leaf is None or hasattr(leaf, "shape") for leaf in leaves)


def _several_steps(learner, step, iterator):
    """Runs `steps_per_execution` steps, or as many as there are batches; the last one's logs."""
    logs = None
    for _, data in zip(range(learner.steps_per_execution), iterator, strict=False):
        logs = step(keras.tree.map_structure(_present, data))
    if logs is None:
        raise StopIteration
    return logs


def _present(part):
    """None where a distributed iterator says so by an empty `tf.experimental.Optional`."""
    return None if isinstance(part, tf.experimental.Optional) else part
