"""The models of a server, and what a request may ask of them, whatever protocol it came by."""

import contextlib
import dataclasses
import time

from tfmeta.serve import logs
from tfmeta.serve.errors import Code, ServingError, invalid
from tfmeta.serve.metrics import Metrics
from tfmeta.serve.models.admission import Admission
from tfmeta.serve.models.large_work import collect_all, keep_for_long
from tfmeta.serve.models.model_set import ModelSet
from tfmeta.serve.models.served_version import DEFAULT_SIGNATURE


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """Which model a request is for.

    Attributes:
        name: of the model.
        version: its number, or None for the newest.
        label: its label, in place of a number.
    """

    name: str
    version: int | None = None
    label: str | None = None


class ModelServer:
    """Models and their limits.

    Example:

        server = ModelServer([ModelConfig("sinusoid", "exported/sinusoid")], ServerOptions())
        server.start()
        version, outputs = server.predict(ModelSpec("sinusoid"), {"support_inputs": ...})
        server.stop()

    Args:
        models: list of `ModelConfig`.
        options: `ServerOptions`.
    """

    def __init__(self, models, options):
        self.options = options
        self.metrics = Metrics([model.name for model in models])
        self._set = ModelSet(models, options, self.metrics)
        self._admission = Admission(options.max_concurrent_requests, options.max_queued_requests)
        self.metrics.observe_queue(lambda: self._admission.running, lambda: self._admission.waiting)

    @property
    def names(self) -> list:
        """Names of the models."""
        return self._set.names

    def start(self):
        """Loads the models and watches their base paths.

        Raises:
            ServingError: if one cannot be loaded, or a label is one of no loaded version.
        """
        self._set.start()
        keep_for_long()

    def stop(self) -> bool:
        """Refuses new requests, waits for those in progress, and frees the models.

        Returns:
            Whether all requests were answered in time; where not, the models stay.
        """
        drained = self._admission.close(self.options.shutdown_seconds)
        if drained:
            self._set.stop()
            collect_all()
        return drained

    def replace_models(self, models):
        """Serves these models and no others: see `ModelSet.replace`.

        Args:
            models: list of `ModelConfig`.

        Raises:
            ServingError: what is wrong with them, or which did not load.
        """
        logs.info("reload", models=[model.name for model in models])
        self._set.replace(models)

    def predict(self, spec, inputs, signature_name="", output_filter=(), deadline=None):
        """Runs a signature.

        Args:
            spec: `ModelSpec`.
            inputs: `{name: array}`.
            signature_name: empty for the default one.
            output_filter: names of outputs; empty for all.
            deadline: `time.monotonic()` at which to give up; None for the server's own limit.

        Returns:
            (version number, `{name: array}`).

        Raises:
            ServingError: what a client is to read.
        """
        deadline = self.deadline(None) if deadline is None else deadline
        with self.admitted(deadline), self.use(spec) as version:
            return version.number, self.run(
                spec, version, inputs, signature_name, output_filter, deadline
            )

    def deadline(self, seconds) -> float:
        """The `time.monotonic()` by which a request that has `seconds` left must be answered."""
        most = self.options.max_request_seconds
        return time.monotonic() + (most if seconds is None else min(seconds, most))

    def admitted(self, deadline):
        """A context in which a request may compute: see `Admission.slot`."""
        return self._admission.slot(deadline)

    @contextlib.contextmanager
    def use(self, spec):
        """Holds the version that a request is for."""
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        number = spec.version if spec.label is None else self._set.labelled(spec.name, spec.label)
        with self._set.use(spec.name, number) as version:
            yield version

    def run(self, spec, version, inputs, signature_name="", output_filter=(), deadline=None):
        """Runs a signature of a version held by `use`."""
        begin = time.monotonic()
        outputs = version.served.run(signature_name, inputs, output_filter, deadline)
        self.metrics.ran(spec.name, time.monotonic() - begin)
        return outputs

    def signature_of_rest(self, version, name):
        """A signature, in the words of TF Serving's REST (`http_rest_api_handler.cc`)."""
        try:
            return version.served.signature(name)
        except ServingError:
            raise invalid(
                f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in signature def'
            ) from None

    def status(self, spec) -> list:
        """(number, state, error) of a model's versions, the newest first.

        Raises:
            ServingError: NOT_FOUND for an unknown model or version.
        """
        number = spec.version  # labels: ignored, as there
        found = self._set.status(spec.name, number)
        if not found and number is not None:
            raise ServingError(
                Code.NOT_FOUND, f"Could not find version {number} of model {spec.name}"
            )
        if not found:
            raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {spec.name}")
        return found
