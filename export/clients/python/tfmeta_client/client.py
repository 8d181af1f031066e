"""The client: numpy arrays in, numpy arrays out, within a deadline."""

import re

import tenacity

from tfmeta_client.adapted import Adapted
from tfmeta_client.deadline import Deadline
from tfmeta_client.errors import InvalidRequest, Overloaded, Unavailable

FIRST_WAIT, LONGEST_WAIT = 0.05, 2.0  # seconds; the bound of a random wait, doubled from try to try


class Client:
    """Asks one served model.

    Example:

        with Client("localhost:8500", "omniglot") as client:        # or "http://localhost:8501"
            answer = client.adapt_and_predict(support_inputs, support_targets, query_inputs)
            answer["predictions"]

    A request that the server had no room for, or that no server answered, is sent again, after
    waits that grow and vary, until `timeout` is over. Signatures keep no state, so asking twice
    does no harm. A client may be used by several threads.

    Args:
        target: "host:port" for gRPC, "http://host:port" or "https://host:port" for REST.
        model: the name under which the model is served.
        version: an integer, or None for the server's choice (the latest).
        label: of a version, such as "stable", in place of `version`.
        timeout: seconds that a call may take, waits included.
        api_key: sent as a bearer token; for servers that ask for one.
        root_certificates: certificates to trust: PEM bytes over gRPC (None: no TLS), a path over
            REST (None: those of `requests`).

    Raises:
        ValueError: if both a version and a label are given, or a key that no header can carry.
    """

    def __init__(
        self,
        target,
        model,
        *,
        version=None,
        label=None,
        timeout=30.0,
        api_key=None,
        root_certificates=None,
    ):
        if version is not None and label is not None:
            raise ValueError(
                f"A version is chosen by number or by label. Received: version={version!r}, "
                f"label={label!r}. Leave one out."
            )
        if api_key and not re.fullmatch("[!-~](?:[ -~]*[!-~])?", api_key):
            raise ValueError(
                "An api_key must be one line of printable ASCII, which a header can carry. "
                f"Received: {len(api_key)} characters, others among them. Strip line breaks."
            )
        self._transport = _transport(target)(
            target, model, version, label, api_key, root_certificates
        )
        self._timeout = timeout
        self._signatures = {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Closes the connections."""
        self._transport.close()

    def adapt_and_predict(
        self,
        support_inputs,
        support_targets,
        query_inputs,
        *,
        inner_steps=None,
        inner_rate_scale=1.0,
        timeout=None,
    ) -> dict:
        """Adapts to a support set and predicts the queries.

        Args:
            support_inputs: [S, ...], or a dict of such for a model of several inputs.
            support_targets: [S] labels, or [S, ...] numbers to regress to.
            query_inputs: [Q, ...], or a dict.
            inner_steps: of adaptation; None: as trained.
            inner_rate_scale: times the inner rate of training.
            timeout: seconds; None: the client's.

        Returns:
            dict of "predictions" [Q, ...], "logits" of a classifier [Q, ...], and "support_loss"
            [n + 1].

        Raises:
            ServingError: as its subclasses say.
        """
        request = {
            **self.named("support_inputs", support_inputs),
            "support_targets": support_targets,
            **self.named("query_inputs", query_inputs),
        }
        if inner_steps is None and inner_rate_scale == 1.0:
            return self.ask("adapt_and_predict", request, timeout=timeout)
        deadline = self.deadline(timeout)
        if inner_steps is None:
            trained = self._signature("adapt_and_predict", deadline).outputs["support_loss"]
            inner_steps = trained.shape[0] - 1
        steps = {"inner_steps": inner_steps, "inner_rate_scale": inner_rate_scale}
        request = {**request, **steps}
        return self.ask("adapt_and_predict_with", request, timeout=deadline.remaining())

    def adapt_and_predict_tasks(
        self, support_inputs, support_targets, query_inputs, *, timeout=None
    ) -> dict:
        """Many tasks in one request: every array with a leading axis T.

        Returns:
            As `adapt_and_predict`, with a leading T, and "status" int32 [T]: 0, or why a task
            could not be answered (its numbers are then zeros).
        """
        request = {
            **self.named("support_inputs", support_inputs),
            "support_targets": support_targets,
            **self.named("query_inputs", query_inputs),
        }
        return self.ask("adapt_and_predict_tasks", request, timeout=timeout)

    def adapt(self, support_inputs, support_targets, *, timeout=None) -> Adapted:
        """Adapts once, for many predictions."""
        deadline = self.deadline(timeout)
        support = {
            **self.named("support_inputs", support_inputs),
            "support_targets": support_targets,
        }
        inputs = self._signature("predict_adapted", deadline).inputs
        needs_support = any(name.startswith("support_inputs") for name in inputs)
        return Adapted(self, support, needs_support, deadline)

    def predict(self, query_inputs, support_inputs=None, *, timeout=None) -> dict:
        """What the model says without adaptation; an inductive one normalises by the support."""
        request = self.named("query_inputs", query_inputs)
        if support_inputs is not None:
            request |= self.named("support_inputs", support_inputs)
        return self.ask("predict", request, timeout=timeout)

    def signatures(self) -> dict:
        """`{name: Signature}` that the model has, asked for once."""
        return self._known(self.deadline(None))

    def ask(self, signature_name, inputs, *, timeout=None) -> dict:
        """Asks any signature: arrays by name in, arrays by name out."""
        deadline = self.deadline(timeout)
        signature = self._signature(signature_name, deadline)
        arrays = signature.cast(inputs)
        return self._again(
            lambda seconds: self._transport.predict(signature_name, signature, arrays, seconds),
            deadline,
        )

    def deadline(self, timeout) -> Deadline:
        """That of a call which begins now; None: the client's own timeout."""
        return Deadline(self._timeout if timeout is None else timeout)

    @staticmethod
    def named(prefix, inputs) -> dict:
        """One array under its name, or each of a dict under `<prefix>_<key>`."""
        if isinstance(inputs, dict):
            return {f"{prefix}_{key}": value for key, value in inputs.items()}
        return {prefix: inputs}

    def _known(self, deadline):
        if not self._signatures:
            self._signatures = self._again(self._transport.signatures, deadline)
        return self._signatures

    def _signature(self, name, deadline):
        signatures = self._known(deadline)
        if name not in signatures:
            names = sorted(name for name in signatures if not name.startswith("__"))
            raise InvalidRequest(
                "FAILED_PRECONDITION",
                f"The model has no signature {name!r}; it has {', '.join(names)}.",
            )
        return signatures[name]

    @staticmethod
    def _again(attempt, deadline):
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((Overloaded, Unavailable)),
            stop=tenacity.stop_before_delay(deadline.remaining()),
            wait=tenacity.wait_random_exponential(FIRST_WAIT, LONGEST_WAIT),
            reraise=True,
        )(lambda: attempt(deadline.remaining()))


def _transport(target):
    # Each brings its own library, and only the one in use is loaded.
    if target.startswith(("http://", "https://")):
        from tfmeta_client.rest_transport import RestTransport

        return RestTransport
    from tfmeta_client.grpc_transport import GrpcTransport

    return GrpcTransport
