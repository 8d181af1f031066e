"""Answers that need the support set itself, whose embeddings no weight of the network holds."""

import tensorflow as tf

from tfmeta import inner
from tfmeta.learners import normalization as modes
from tfmeta.learners.pure_functions import Adaptation


class SupportAnswers:
    """Mixin before `ComparisonLearner`: weights stay, and queries are compared with the support."""

    def adapt_weights(
        self,
        parameters,
        support,
        inner_steps,
        state,
        key,
        rate_scale=1.0,
        observe=None,
        training=False,
    ) -> Adaptation:
        """The weights as they are, whatever the number of steps; see `PureFunctions`.

        The support losses are those of the support set compared with itself.
        """
        weights = list(parameters[: self._weight_count])
        network_state, mode = self._network_state(state), self.normalization
        embeddings = self._support_embeddings(weights, network_state, support, mode)
        memberships = self._memberships(support, embeddings.dtype)
        outputs = self.compare(embeddings, embeddings, memberships)
        loss = self.inner_loss_function(support.targets, outputs, support.weights)
        _, losses, records = inner.run_steps(
            lambda index, carry, constants: (carry, tf.cast(loss, weights[0].dtype)),
            weights,
            inner_steps,
            record=observe and (lambda done, weights: observe(weights)),
        )
        losses = tf.concat([losses, [tf.cast(loss, losses.dtype)]], axis=0)
        return Adaptation(weights, losses, list(state), records, losses[1:])

    def servable(self, normalization=None, output=None, **options):
        """Refuses: an adapted model's weights do not hold the support set that answers need."""
        raise ValueError(
            f"{type(self).__name__} answers from the support set itself, which the signatures "
            "`adapt` and `predict_adapted` have no place for. Received: an export. Export a "
            "tfmeta.PrototypicalNetwork, whose prototypes are weights (`export.enabled = False` "
            "in a recipe)."
        )

    def _answers(self, weights, network_state, query_inputs, support, mode, query_weights=None):
        if support is None or support.targets is None:
            raise ValueError(
                f"{type(self).__name__} answers from the support set. Received: none. Pass the "
                "support examples with their targets."
            )
        embeddings = self._support_embeddings(weights, network_state, support, mode)
        query, network_state, losses = modes.query_outputs(
            self._embedding,
            mode,
            self._embedding_weights(weights),
            network_state,
            query_inputs,
            support,
            query_weights,
            parallel=self.parallel,
        )
        memberships = self._memberships(support, embeddings.dtype)
        return self.compare(query, embeddings, memberships), network_state, losses

    def _support_embeddings(self, weights, network_state, support, mode):
        return self._embed(
            weights,
            network_state,
            support.inputs,
            support.weights,
            batch_statistics=mode != "running",
        )[0]
