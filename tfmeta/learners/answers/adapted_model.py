"""A network adapted to one task, as a Keras model."""

import os
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfmeta.learners import checks
from tfmeta.learners.batch import any_ways, batch_checks
from tfmeta.learners.batch.batches import input_tensors, lists_as_arrays, texts_as_tensors
from tfmeta.learners.batch.errors import in_words
from tfmeta.learners.batch.whole_sets import whole_set
from tfmeta.learners.keras_model.meta_steps import compiled
from tfmeta.tasks.task import Examples

# Attributes by which Keras asks whether, and how, a model is compiled.
_COMPILED = ("compiled", "optimizer")


@keras.saving.register_keras_serializable("tfmeta")
class AdaptedModel(keras.Model):
    """Answers the queries of one task with weights that are adapted to it.

    It keeps the learner's normalisation: a transductive query set is never cut into batches, and
    an inductive answer uses the support inputs, which the model holds. It is a Keras model of its
    own: `save`, `keras.saving.load_model` (in a process that has no learner), `clone_model`,
    `export`, `save_weights`, `evaluate` and `fit` work as for any. It has the learner's loss and
    metrics where it is not compiled otherwise; `fit` then descends the loss by SGD with the
    learner's inner rate, with batch statistics but without dropout.

    Example:
        >>> import numpy as np, tfmeta
        >>> learner = tfmeta.MAML(tfmeta.networks.mlp(hidden=(4,)), inner_rate=0.1)
        >>> learner.compile(loss="mse")
        >>> x = np.linspace(-1.0, 1.0, 5, dtype="float32")[:, np.newaxis]
        >>> adapted = learner.adapt(x, x**2)
        >>> adapted.predict(x, verbose=0).shape
        (5, 1)

    Args:
        learner: the compiled `MetaLearner`. Its network is the structure of this model; weights
            and state are the model's own.
        weights: list of tensors, order of `network.trainable_variables`.
        support: the task's `Examples`.
        name: of the model; None: "adapted_" and the network's name.

    Attributes:
        adapted_weights: variables, order of `network.trainable_variables`.
    """

    predict_function: Any

    def __init__(self, learner, weights, support, *, name=None):
        super().__init__(name=name or f"adapted_{learner.network.name}", autocast=False)
        self._whole_set = learner.normalization == "transductive"
        self.adapted_weights = self._weight_variables(learner, weights)
        self._state = [
            self._variable(value, f"state_{number}")
            for number, value in enumerate(learner.state_variables)
        ]
        # Zero-argument functions: as an attribute the learner, with all its weights, would become
        # a part of this model, and Keras would wrap the structure of the support inputs.
        held = self._support_variables(learner, support)
        self._get_support = lambda: held
        self._get_learner = lambda: learner
        # Compiled as the learner once somebody asks, since to compile takes a while.
        for name in _COMPILED:
            self.__dict__.pop(name, None)
        self.built = True

    # A method of this name, which Keras keeps for old code, hides the attribute from `__getattr__`.
    @property
    def loss(self):
        """What `compile` was given; the learner's loss unless the model was compiled otherwise."""
        self._compile_as_learner()
        return self._compiled_loss

    @loss.setter
    def loss(self, value):
        self._compiled_loss = value

    def call(self, inputs, training=None):
        """Raw outputs [Q, ...] of query inputs [Q, ...]."""
        if tf.executing_eagerly() and not (self.run_eagerly or tf.config.functions_run_eagerly()):
            return self._answer(inputs)
        weights, state, support = self._values()
        outputs, losses = _answers(self._get_learner(), weights, state, Examples(inputs), support)
        for loss in losses:  # Regularisation, activity losses and `add_loss` of the network.
            self.add_loss(tf.reduce_sum(loss))
        return outputs

    def predict(self, x, batch_size=None, **options):
        """As `keras.Model.predict`; a transductive query set stays whole.

        Raises:
            ValueError: for a `batch_size` that would cut a transductive query set.
        """
        x = texts_as_tensors(lists_as_arrays(x))
        x, _, _, batch_size = self._fed(x, None, None, batch_size, options)
        with in_words(), batch_checks.refusing_no_batch("Predicting on"):
            return super().predict(x, batch_size=batch_size, **options)

    def evaluate(self, x=None, y=None, batch_size=None, **options):
        """As `keras.Model.evaluate`; a transductive query set stays whole.

        Raises:
            ValueError: for a `batch_size` that would cut a transductive query set.
        """
        self._compile_as_learner()
        weights = options.pop("sample_weight", None)
        if not options.get("_use_cached_eval_dataset"):
            x, y = texts_as_tensors(lists_as_arrays(x)), lists_as_arrays(y)
            x, y, weights, batch_size = self._fed(x, y, weights, batch_size, options)
        with in_words():
            return super().evaluate(x, y, batch_size, sample_weight=weights, **options)

    def fit(self, x=None, y=None, batch_size=None, **options):
        """As `keras.Model.fit`; `batch_size` is the whole set, where it is transductive."""
        self._compile_as_learner()
        x, y = lists_as_arrays(x), lists_as_arrays(y)
        if self._whole_set and batch_size is None and hasattr(_first(x), "shape"):
            batch_size = max(1, len(_first(x)))
        return super().fit(x, y, batch_size, **options)

    def train_on_batch(self, *arguments, **options):
        """As `keras.Model.train_on_batch`."""
        self._compile_as_learner()
        return super().train_on_batch(*arguments, **options)

    def test_on_batch(self, *arguments, **options):
        """As `keras.Model.test_on_batch`."""
        self._compile_as_learner()
        return super().test_on_batch(*arguments, **options)

    def make_predict_function(self, force=False):
        """Makes what `predict` calls: a compiled function that all models of a learner share."""
        if self.predict_function is not None and not force:
            return

        def answers(batches):
            unpack = keras.utils.unpack_x_y_sample_weight
            outputs = [self._answer(unpack(batch)[0]) for batch in batches]
            return outputs[0] if len(outputs) == 1 else tf.concat(outputs, axis=0)

        self.predict_function = answers

    def export(self, filepath, format="tf_saved_model", input_signature=None, **options):
        """As `keras.Model.export`: a SavedModel, for one, that answers queries of this task."""
        if input_signature is None:
            input_signature = [self._input_signature()]
        for number, layer in enumerate(self._get_learner().network._flatten_layers()):
            if getattr(layer, "lookup_table", None) is not None:
                self._track_trackable(layer.lookup_table, f"table_{number}", overwrite=True)
        # Keras asks whether the model was called, by which it knows its inputs.
        self._called = True
        return super().export(filepath, format, input_signature=input_signature, **options)

    def quantize(self, *arguments, **options):
        """Refuses: the weights are the model's own, not those of layers, which Keras quantizes.

        Raises:
            ValueError: always.
        """
        raise checks.no_quantize("an adapted model, whose weights no layer holds")

    def get_config(self):
        learner = self._get_learner()
        support = keras.tree.map_structure(_spec, self._get_support())
        if "string" in str(support):
            raise ValueError(
                "An adapted model saves its support inputs as arrays of numbers. Received: text, "
                f"which {learner.normalization!r} normalization needs for every answer. Put the "
                "layers of text in front of the network, or take normalization='running'."
            )
        saved = keras.saving.serialize_keras_object(learner)
        saved.pop("compile_config", None)
        return {
            "learner": saved,
            "loss": keras.saving.serialize_keras_object(learner.loss),
            "loss_weights": learner.loss_function.factor,
            "support": support,
            "name": self.name,
            "weight_shapes": [list(variable.shape) for variable in self.adapted_weights],
        }

    @classmethod
    def from_config(cls, config):
        learner = keras.saving.deserialize_keras_object(config["learner"])
        loss = keras.saving.deserialize_keras_object(config["loss"])
        learner.compile(loss=loss, loss_weights=config.get("loss_weights"))
        initial = learner.initial_weights(learner.parameter_variables)
        shapes = config.get("weight_shapes", learner.task_network.adapted_shapes)
        # A head of another size than the network's is zeros until its weights are loaded.
        weights = [
            tf.broadcast_to(tf.convert_to_tensor(variable), shape)
            if tuple(shape) == tuple(usual)
            else tf.zeros(shape, variable.dtype)
            for variable, shape, usual in zip(
                initial, shapes, learner.task_network.adapted_shapes, strict=True
            )
        ]
        return cls(learner, weights, Examples(*_zeros(config["support"])), name=config["name"])

    def save_assets(self, folder):
        """Writes what layers of the network save beside their weights, such as vocabularies."""
        for name, layer in self._layers_with_assets():
            os.makedirs(os.path.join(folder, name), exist_ok=True)
            layer.save_assets(os.path.join(folder, name))

    def load_assets(self, folder):
        """Reads what `save_assets` wrote."""
        for name, layer in self._layers_with_assets():
            if os.path.isdir(os.path.join(folder, name)):
                layer.load_assets(os.path.join(folder, name))

    def _layers_with_assets(self):
        layers = enumerate(self._get_learner().network._flatten_layers(include_self=False))
        return [(str(i), layer) for i, layer in layers if hasattr(layer, "save_assets")]

    def _answer(self, inputs):
        """Raw outputs of concrete inputs, by the learner's compiled function."""
        learner = self._get_learner()
        inputs = input_tensors(inputs, "query_x")
        batch_checks.check_queries(learner, inputs)
        weights, state, support = self._values()
        # One trace for all tasks of a shape, and of a size of the head.
        most = any_ways.ways_of_weights(learner, self.adapted_weights)
        function = compiled(learner, "adapted", _outputs, ways=most)
        return function(weights, state, Examples(inputs), support)

    def _values(self):
        read = tf.convert_to_tensor
        weights = [read(variable) for variable in self.adapted_weights]
        support = keras.tree.map_structure(
            lambda v: None if v is None else read(v), self._get_support()
        )
        return weights, [read(variable) for variable in self._state], Examples(*support)

    def _fed(self, x, y, weights, batch_size, options):
        """(x, y, sample weights, batch size) as Keras gets them: a set that must stay whole is."""
        if not self._whole_set:
            return x, y, weights, batch_size
        x, y, weights = whole_set(x, y, weights, options.pop("steps", None))
        size = max(1, len(_first(x)))
        if batch_size is not None and batch_size < size:
            raise ValueError(
                "Transductive answers depend on the whole query set, which must not be cut. "
                f"Received: batch_size={batch_size} for {size} queries. Leave batch_size out, or "
                "make the learner with normalization='inductive'."
            )
        return x, y, weights, size

    def __getattr__(self, name):
        if name in _COMPILED and "_get_learner" in self.__dict__:
            self._compile_as_learner()
        return super().__getattribute__(name)

    def _compile_as_learner(self):
        if "compiled" in self.__dict__:
            return
        self.__dict__["compiled"] = False  # What Keras asks while it compiles.
        learner = self._get_learner()
        rate = learner.inner_rate
        rate = float(rate) if isinstance(rate, (int, float)) else 0.01
        factor = learner.loss_function.factor
        self.compile(
            keras.optimizers.SGD(rate),
            learner.loss,
            loss_weights=None if factor == 1.0 else factor,
            **_fresh_metrics(learner),
        )

    def _input_signature(self):
        network = self._get_learner().network
        structure = getattr(network, "_inputs_struct", None)
        if structure is None:
            from tfmeta.learners.answers.servable import input_tensors as symbolic_inputs

            (structure,) = symbolic_inputs(network)
        return keras.tree.map_structure(
            lambda tensor: keras.InputSpec(
                shape=(None, *tensor.shape[1:]), dtype=tensor.dtype, name=tensor.name
            ),
            structure,
        )

    def _support_variables(self, learner, support):
        """What answers need of the support set: (inputs, targets, weights), None where not."""
        compares = learner.adaptation.needs_support
        if not compares and learner.normalization != "inductive":
            return (None, None, None)
        inputs = keras.tree.map_structure(
            lambda value: self._variable(value, "support_inputs"), support.inputs
        )
        targets = self._variable(support.targets, "support_targets") if compares else None
        return inputs, targets, None

    def _weight_variables(self, learner, weights):
        """Variables of the weights, with constraints; those that do not adapt are frozen."""
        network = learner.task_network
        adapted = set(network.adapted) or set(range(len(weights)))
        found = []
        for index, (value, path, variable) in enumerate(
            zip(weights, network.paths, learner.network.trainable_variables, strict=True)
        ):
            # Several samples of a weight have one axis more than its constraint is for.
            same = tuple(value.shape) == tuple(variable.shape)
            constraint = variable.constraint if same else None
            name = path.replace("/", "_")
            found.append(self._variable(value, name, index in adapted, constraint))
        return found

    def _variable(self, value, name, trainable=False, constraint=None):
        value = tf.convert_to_tensor(value)
        if value.dtype == tf.string:
            return value
        variable = self.add_weight(
            shape=value.shape,
            dtype=value.dtype.name,
            initializer="zeros",
            name=name,
            trainable=trainable,
            constraint=constraint,
        )
        variable.assign(value)
        return variable


def _answers(learner, weights, state, query, support):
    """Raw outputs [Q, ...] of one task's queries, and the network's own losses."""
    network = learner.task_network.for_weights(weights)
    network_state = learner.network_state_of(state)
    outputs, _, losses = network.answers(weights, network_state, query.inputs, support)
    return outputs, losses


def _outputs(learner, weights, state, query, support):
    """The outputs alone, by the method that a learner of your own may override."""
    return learner.query_outputs(weights, state, query.inputs, support)


def _fresh_metrics(learner):
    """The metrics given to the learner's `compile`, without what they have counted."""

    def fresh(metric):
        if isinstance(metric, keras.metrics.Metric):
            return type(metric).from_config(metric.get_config())
        return metric

    return keras.tree.map_structure(fresh, learner.given_metrics())


def _first(x):
    return keras.tree.flatten(x)[0]


def _spec(variable):
    """Shape and type of a variable, as JSON holds them."""
    if variable is None:
        return None
    return {"shape": list(variable.shape), "dtype": keras.backend.standardize_dtype(variable.dtype)}


def _zeros(spec):
    if isinstance(spec, dict) and set(spec) == {"shape", "dtype"}:
        return np.zeros(spec["shape"], spec["dtype"])
    if isinstance(spec, dict):
        return {name: _zeros(part) for name, part in spec.items()}
    return [_zeros(part) for part in spec] if isinstance(spec, (list, tuple)) else spec
