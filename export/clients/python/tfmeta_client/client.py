"""The client: numpy arrays in, numpy arrays out, within a deadline."""

import time

import tenacity

from tfmeta_client.adapted import Adapted
from tfmeta_client.errors import DeadlineExceeded, InvalidRequest, Overloaded, Unavailable

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
            REST (None: the system's).

    Raises:
        ValueError: if both a version and a label are given.
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
        if inner_steps is None:
            trained = self.signatures()["adapt_and_predict"].outputs["support_loss"]
            inner_steps = trained.shape[0] - 1
        steps = {"inner_steps": inner_steps, "inner_rate_scale": inner_rate_scale}
        return self.ask("adapt_and_predict_with", {**request, **steps}, timeout=timeout)

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

    def adapt(self, support_inputs, support_targets) -> Adapted:
        """Adapts once, for many predictions."""
        support = {
            **self.named("support_inputs", support_inputs),
            "support_targets": support_targets,
        }
        inputs = self.signatures()["predict_adapted"].inputs
        needs_support = any(name.startswith("support_inputs") for name in inputs)
        return Adapted(self, support, needs_support)

    def predict(self, query_inputs, support_inputs=None, *, timeout=None) -> dict:
        """What the model says without adaptation; an inductive one normalises by the support."""
        request = self.named("query_inputs", query_inputs)
        if support_inputs is not None:
            request |= self.named("support_inputs", support_inputs)
        return self.ask("predict", request, timeout=timeout)

    def signatures(self) -> dict:
        """`{name: Signature}` that the model has, asked for once."""
        if not self._signatures:
            self._signatures = self._again(self._transport.signatures, self._timeout)
        return self._signatures

    def ask(self, signature_name, inputs, *, timeout=None) -> dict:
        """Asks any signature: arrays by name in, arrays by name out."""
        signatures = self.signatures()
        if signature_name not in signatures:
            names = sorted(name for name in signatures if not name.startswith("__"))
            raise InvalidRequest(
                "FAILED_PRECONDITION",
                f"The model has no signature {signature_name!r}; it has {', '.join(names)}.",
            )
        signature = signatures[signature_name]
        arrays = signature.cast(inputs)
        return self._again(
            lambda seconds: self._transport.predict(signature_name, signature, arrays, seconds),
            self._timeout if timeout is None else timeout,
        )

    @staticmethod
    def named(prefix, inputs) -> dict:
        """One array under its name, or each of a dict under `<prefix>_<key>`."""
        if isinstance(inputs, dict):
            return {f"{prefix}_{key}": value for key, value in inputs.items()}
        return {prefix: inputs}

    def _again(self, attempt, timeout):
        end = time.monotonic() + timeout

        def within_the_deadline():
            remaining = end - time.monotonic()
            if remaining <= 0:
                raise DeadlineExceeded("DEADLINE_EXCEEDED", f"No answer in {timeout:.1f} s.")
            return attempt(remaining)

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((Overloaded, Unavailable)),
            stop=tenacity.stop_before_delay(timeout),
            wait=tenacity.wait_random_exponential(FIRST_WAIT, LONGEST_WAIT),
            reraise=True,
        )(within_the_deadline)


def _transport(target):
    # Each brings its own library, and only the one in use is loaded.
    if target.startswith(("http://", "https://")):
        from tfmeta_client.rest_transport import RestTransport

        return RestTransport
    from tfmeta_client.grpc_transport import GrpcTransport

    return GrpcTransport
