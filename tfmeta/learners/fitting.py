"""Keras' loops over batches of tasks: what is checked and made before they begin."""

import keras
import tensorflow as tf

from tfmeta.learners import checks


class Fitting:
    """Mixin before `keras.Model`: `fit`, `evaluate` and their steps on one batch."""

    def evaluate(self, x=None, y=None, batch_size=None, *, steps=None, **options):
        """As `keras.Model.evaluate`; an endless stream needs `steps`."""
        checks.check_ends(x, steps, "steps", "Evaluating")
        self._prepare_metrics(x, y)
        return super().evaluate(x, y, batch_size, steps=steps, **options)

    def fit(self, x=None, y=None, batch_size=None, epochs=1, **options):
        """As `keras.Model.fit`, on a stream of tasks; an endless one needs `steps_per_epoch`."""
        checks.check_ends(x, options.get("steps_per_epoch"), "steps_per_epoch", "Fitting on")
        validation = options.get("validation_data"), options.get("validation_steps")
        checks.check_ends(*validation, "validation_steps", "Validating on")
        if isinstance(x, tf.data.Dataset):
            # A stream has its order; Keras warns that it would not shuffle it.
            options.setdefault("shuffle", False)
        self._prepare_metrics(x, y)
        return super().fit(x, y, batch_size, epochs, **options)

    def train_on_batch(self, x, y=None, *arguments, **options):
        """As `keras.Model.train_on_batch`: one meta-step."""
        self._prepare_metrics(x, y)
        return super().train_on_batch(x, y, *arguments, **options)

    def test_on_batch(self, x, y=None, *arguments, **options):
        """As `keras.Model.test_on_batch`, on one batch of tasks."""
        self._prepare_metrics(x, y)
        return super().test_on_batch(x, y, *arguments, **options)

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
            outputs = keras.KerasTensor((*targets.shape[:2], *output_shape[1:]))
            self._compile_metrics.build(
                keras.KerasTensor(targets.shape, targets.dtype.name), outputs
            )

    def _prepare_metrics(self, x, y):
        if isinstance(x, tf.data.Dataset):
            self.build_metrics(x.element_spec)
        elif hasattr(y, "shape"):
            self.build_metrics((x, y))
