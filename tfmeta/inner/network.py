"""A Keras model as a pure function of its weights and state."""

import contextlib
import copy
import inspect
import threading
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfmeta.derivatives.exact import exact_derivatives
from tfmeta.inner.batch_dependence import (
    absent_examples_cost,
    absent_examples_matter,
    absent_examples_move,
    depends_on_batch,
)
from tfmeta.inner.input_specs import input_specs, specs_like
from tfmeta.inner.keras_internals import global_seed_generator, is_seed
from tfmeta.inner.layer_settings import layer_settings
from tfmeta.inner.layer_study import known_study, study_layers
from tfmeta.inner.losses import mask_of, with_mask


class PureNetwork:
    """`network` as a function `(weights, state, inputs) -> outputs` without side effects.

    Derivatives through it are exact to any order (`tfmeta.derivatives.exact`). Recurrent layers are
    unrolled while tracing; whatever draws random numbers is silent unless `dropout` asks for it.

    Attributes:
        network: the wrapped `keras.Model`; its variables are read only when given as `weights`.
        study: its `LayerStudy`; None until the first call, where the network does not say what
            inputs it takes.
        known: `Features` that need not be computed again (`knowing`).
        trunk: None, or the `Trunk` that every call runs first (`calling`).
    """

    def __init__(self, network: keras.Model, *, dropout: bool = False):
        self.network = network
        self.dropout = dropout
        self.xla = False
        self._lock = threading.RLock()
        self._depends_on_batch: list[bool] = []  # of one answer, once it is known; shared by copies
        self._absent: dict[Any, Any] = {}
        self._takes_training = "training" in inspect.signature(network.call).parameters
        self._seed_positions = [
            position
            for position, variable in enumerate(network.non_trainable_variables)
            if is_seed(variable)
        ]
        self.study = self._first_study()
        self.known: tuple[Any, ...] = ()
        self.trunk: Any = None

    def knowing(self, *features: Any) -> "PureNetwork":
        """The same network with features of sets of inputs, which it does not compute again.

        Args:
            *features: `tfmeta.inner.trunk.Features`, each used where a call has the inputs,
                weights and state that it was computed from.
        """
        known = copy.copy(self)
        known.known = (*self.known, *features)
        return known

    def calling(self, trunk: Any) -> "PureNetwork":
        """The same network, whose every call is a call of a trunk and of what follows it.

        Args:
            trunk: `tfmeta.inner.trunk.Trunk`.
        """
        calling = copy.copy(self)
        calling.trunk = trunk
        return calling

    @property
    def paths(self) -> list[str]:
        """Path of each trainable weight relative to the network, as "conv_1/kernel"."""
        return [relative_path(self.network, v) for v in self.network.trainable_variables]

    @property
    def moving(self) -> tuple:
        """Positions, in `state`, of layers' own state that training moves.

        Of a network that is not studied yet: of everything but seeds.
        """
        if self.study is not None:
            return self.study.moving
        count = len(self.network.non_trainable_variables)
        return tuple(sorted(set(range(count)) - set(self._seed_positions)))

    @property
    def averaging(self) -> list:
        """Layers of Keras' batch normalisation whose averages move in training mode."""
        layers = self.network._flatten_layers()
        return [x for x in layers if isinstance(x, keras.layers.BatchNormalization) and x.trainable]

    def __call__(self, weights, state, inputs, *, batch_statistics, example_weights=None, key=None):
        """Runs the network.

        Args:
            weights: list of tensors, order of `network.trainable_variables`.
            state: list of tensors, order of `network.non_trainable_variables`.
            inputs: tensor [N, ...] or dict of tensors.
            batch_statistics: whether layers run in training mode (normalise with the batch's
                own statistics), else with their moving averages.
            example_weights: tensor [N], or [N, ...] with a weight an element, or None; examples
                of weight 0 leave batch statistics.
            key: int32 [2] that seeds dropout, where it is on; None leaves dropout out.

        Returns:
            outputs [N, ...] (float32 at least, with the network's mask where it gives one: see
            `mask_of`), the new state, and the list of the network's own losses (weight and
            activity regularisation).
        """
        of = {"batch_statistics": batch_statistics, "example_weights": example_weights}
        features = next((f for f in self.known if f.are_of(inputs, weights, state, **of)), None)
        if features is None and self.trunk is not None:
            features = self.trunk.features(self, weights, state, inputs, **of)
        if features is not None:
            outputs, new_state, losses = features.trunk.outputs(self, features, weights, state, key)
        else:
            with self._layers(inputs, key, **of) as seeds:
                outputs, new_state, losses = self._stateless(
                    list(weights), self._seeded(state, key), inputs, batch_statistics, seeds
                )
        if not tf.is_tensor(outputs):
            raise ValueError(
                "A network must have one output. "
                f"Received: {self.network.name!r}, which gives a {type(outputs).__name__}. "
                "Take one of its outputs: keras.Model(inputs, outputs[0])."
            )
        if outputs.dtype in (tf.bfloat16, tf.float16):
            outputs = with_mask(tf.cast(outputs, tf.float32), mask_of(outputs))
        return outputs, [tf.convert_to_tensor(value) for value in new_state], losses

    @contextlib.contextmanager
    def stateless(
        self,
        weights: Sequence,
        state: Sequence,
        inputs: Any,
        *,
        batch_statistics: bool,
        example_weights: tf.Tensor | None = None,
        key: tf.Tensor | None = None,
    ) -> Any:
        """Inside the `with`, layers of the network run as a call with these arguments runs them.

        Args:
            weights: as of `__call__`; None for a weight that no layer reads.
            state: as of `__call__`; None likewise.
            inputs: as of `__call__`.
            batch_statistics: as of `__call__`.
            example_weights: as of `__call__`.
            key: as of `__call__`.

        Yields:
            The `keras.StatelessScope`, which has the losses that layers add and the new state.
        """
        options = {"batch_statistics": batch_statistics, "example_weights": example_weights}
        with self._layers(inputs, key, **options) as seeds:
            variables = [*self.network.trainable_variables, *self.network.non_trainable_variables]
            pairs = zip(variables, [*weights, *self._seeded(state, key)], strict=True)
            mapping = [*(pair for pair in pairs if pair[1] is not None), *seeds]
            with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
                yield scope

    @contextlib.contextmanager
    def _layers(self, inputs, key, *, batch_statistics, example_weights):
        """Sets the layers for one call; yields pairs of a foreign seed variable and its value."""
        dropout = self.dropout and key is not None
        study = self._studied(inputs)
        settings = layer_settings(
            self.network, study.noisy, study.kept, noise=dropout, training=batch_statistics
        )
        with (
            self._lock,
            settings,
            exact_derivatives(xla=self.xla, example_weights=_of_examples(example_weights)),
        ):
            yield self._seeds(key) if dropout else []

    def depends_on_batch(self, inputs: Any = None) -> bool:
        """Whether an example's output may depend on the other examples of its batch.

        Args:
            inputs: tensors [N, ...] as the network takes them, where it does not say itself.
        """
        if not self._depends_on_batch:
            with self._lock:
                self._depends_on_batch.append(depends_on_batch(self, inputs))
        return self._depends_on_batch[0]

    def absent_examples_matter(self, inputs: Any = None, *, training: bool) -> bool:
        """Whether an example of weight 0 still changes the outputs of other examples.

        Args:
            inputs: tensors [N, ...] as the network takes them, where it does not say itself.
            training: whether the network runs in training mode.
        """

        def tried():
            return absent_examples_matter(self, inputs, training=training)

        return self._kept(("outputs", training), tried)

    def absent_examples_cost(self, inputs: Any = None, *, training: bool) -> bool:
        """Whether an example of weight 0 still changes the network's own losses.

        Args:
            inputs: as of `absent_examples_matter`.
            training: whether the network runs in training mode.
        """

        def tried():
            return absent_examples_cost(self, inputs, training=training)

        return self._kept(("losses", training), tried)

    def absent_examples_move(self, inputs: Any = None) -> bool:
        """Whether an example of weight 0 changes the layers' own state (`moving`).

        Args:
            inputs: as of `absent_examples_matter`.
        """
        return bool(self.moving) and self._kept("state", lambda: absent_examples_move(self, inputs))

    def _kept(self, question, answer):
        if question not in self._absent:
            with self._lock:
                self._absent[question] = answer()
        return self._absent[question]

    def _stateless(self, weights, state, inputs, training, seeds):
        if self._takes_training and not seeds:
            return self.network.stateless_call(
                weights, state, inputs, training=training, return_losses=True
            )
        # A subclassed model whose `call` has no `training` gets it to its layers by Keras' call
        # context, which `stateless_call` does not enter; nor does it take foreign seeds.
        variables = [*self.network.trainable_variables, *self.network.non_trainable_variables]
        mapping = [*zip(variables, [*weights, *state], strict=True), *seeds]
        call = self.network.call if self._takes_training else self.network
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
            outputs = call(inputs, training=training)
            losses = self.network.losses
        non_trainable = self.network.non_trainable_variables
        return outputs, [scope.get_current_value(v) for v in non_trainable], losses

    def _seeded(self, state, key):
        state = [None if value is None else tf.convert_to_tensor(value) for value in state]
        if key is None or not self.dropout:
            return state
        for position in self._seed_positions:
            # Folding the position in keeps two dropout layers of one network apart.
            folded = tf.random.experimental.stateless_fold_in(key, position)
            state[position] = tf.cast(folded, state[position].dtype)
        return state

    def _seeds(self, key):
        """Pairs of a seed variable outside the network and its value, a function of the key."""
        variables = list(self.study.foreign_seeds)
        if self.study.global_seed:
            variables.append(global_seed_generator().state)
        first = len(self.network.non_trainable_variables)
        return [
            (variable, tf.random.experimental.stateless_fold_in(key, first + number))
            for number, variable in enumerate(variables)
        ]

    def _first_study(self):
        specs = input_specs(self.network)
        if specs is None:
            return known_study(self.network)
        try:
            return study_layers(self.network, specs)
        except (ValueError, TypeError, tf.errors.OpError):
            return None  # A network may not take two examples: its first real inputs tell.

    def _studied(self, inputs):
        if self.study is None:
            specs = specs_like(inputs)
            with self._lock, tf.init_scope():
                study = study_layers(self.network, specs)
            refuse(self.network, study, self.dropout)
            self.study = study
        return self.study


def refuse(network: keras.Model, study: Any, dropout: bool) -> None:
    """Raises a ValueError that names the layers which no learner can honour."""
    problems = [*study.problems, *(study.dropout_problems if dropout else ())]
    if problems:
        raise ValueError(
            "A learner calls its network as a function of weights, state and inputs. "
            f"Received: {network.name!r}. {' '.join(problems)}"
        )


def _of_examples(weights):
    """One weight an example: an example is absent where the weights of all its elements are 0."""
    if weights is None or weights.shape.rank == 1:
        return weights
    axes = list(range(1, weights.shape.rank))
    return tf.reduce_max(tf.cast(tf.not_equal(weights, 0), tf.float32), axis=axes)


def relative_path(network: keras.Model, variable: Any) -> str:
    """Path of a variable of `network`, without the network's own name."""
    return variable.path.removeprefix(network.name + "/")
