"""A model adapted to one support set: adaptation is paid for once, predictions many times."""

from tfmeta_client.errors import InvalidRequest

FINGERPRINT = "weights_fingerprint"


class Adapted:
    """Predicts with weights that `Client.adapt` got; the server keeps nothing of them.

    Example:

        adapted = client.adapt(support_inputs, support_targets)
        adapted.predict(first_queries)["predictions"]
        adapted.predict(more_queries)["predictions"]

    A server that has moved to another version refuses weights of the old one; the support set is
    then adapted to again, once, and the prediction made with that.

    Attributes:
        weights: float32 [P].
        support_loss: float32 [n + 1], before the first inner step and after each.
    """

    def __init__(self, client, support, needs_support, deadline):
        self._client = client
        self._support = support
        self._needs_support = needs_support
        self._adapt(deadline)

    def predict(self, query_inputs, *, timeout=None) -> dict:
        """Predictions [Q, ...], and logits of a classifier; `timeout` is for all that it takes."""
        deadline, before = self._client.deadline(timeout), self._fingerprint
        try:
            return self._predict(query_inputs, deadline)
        except InvalidRequest as error:
            if FINGERPRINT not in error.message:
                raise
            self._adapt(deadline)
            if self._fingerprint == before:
                raise
            return self._predict(query_inputs, deadline)

    def _adapt(self, deadline):
        answer = self._client.ask("adapt", self._support, timeout=deadline.remaining())
        self.weights = answer["adapted_weights"]
        self.support_loss = answer["support_loss"]
        self._fingerprint = answer[FINGERPRINT]

    def _predict(self, query_inputs, deadline):
        request = {"adapted_weights": self.weights, FINGERPRINT: self._fingerprint}
        request |= self._client.named("query_inputs", query_inputs)
        if self._needs_support:
            request |= {
                name: value
                for name, value in self._support.items()
                if name.startswith("support_inputs")
            }
        return self._client.ask("predict_adapted", request, timeout=deadline.remaining())
