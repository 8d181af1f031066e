"""Metrics in Prometheus' text format, under TF Serving's names where it has them.

Names, labels and buckets are those of TF Serving's `servables/tensorflow/util.cc` and
`saved_model_warmup_util.cc`; latencies are in microseconds, as there.
"""

import re

import prometheus_client

_BUCKETS = [10 * 1.8**power for power in range(33)]
_COUNT = ":tensorflow:serving:request_count"
_CREATED = re.compile(rb"^(# (HELP|TYPE) )?[:\w]+_created[ {].*\n", re.MULTILINE)


class Metrics:
    """The counters of one server.

    Args:
        models: names of its models; requests for others are counted under an empty name, since
            names that clients make up must not become ever more time series.
    """

    def __init__(self, models):
        self._models = set(models)
        self._registry = prometheus_client.CollectorRegistry()
        common = {"registry": self._registry}
        self._requests = prometheus_client.Counter(
            _COUNT, "The total number of requests.", ["model_name", "status"], **common
        )
        self._latency = self._histogram(
            "request_latency",
            "Distribution of wall time (in microseconds) for Tensorflow Serving request.",
            ["model_name", "API", "entrypoint"],
        )
        self._runtime = self._histogram(
            "runtime_latency",
            "Distribution of wall time (in microseconds) for Tensorflow runtime.",
            ["model_name", "API", "runtime"],
        )
        self._warmup = self._histogram(
            "model_warmup_latency",
            "Distribution of wall time (in microseconds) for warming up the model.",
            ["model_path", "status"],
        )
        self._gauges = {
            name: prometheus_client.Gauge(f"tfmeta_serve_{name}", text, **common)
            for name, text in (
                ("requests_running", "Requests being computed."),
                ("requests_waiting", "Requests in the queue."),
            )
        }
        prometheus_client.ProcessCollector(registry=self._registry)

    def add_models(self, names):
        """Counts requests for more models under their names."""
        self._models.update(names)

    def observe_queue(self, running, waiting):
        """Reads the length of the queue from two functions."""
        self._gauges["requests_running"].set_function(running)
        self._gauges["requests_waiting"].set_function(waiting)

    def requested(self, model, status, api, entrypoint, seconds):
        """Counts a request and, if it was answered, its latency."""
        model = model if model in self._models else ""
        self._requests.labels(model, status).inc()
        if status == "OK":
            self._latency.labels(model, api, entrypoint).observe(seconds * 1e6)

    def ran(self, model, seconds):
        """Counts the runtime's share of a prediction."""
        self._runtime.labels(model, "Predict", "TF1").observe(seconds * 1e6)

    def warmed(self, model, seconds):
        """Counts a version's warmup."""
        self._warmup.labels(model, "OK").observe(seconds * 1e6)

    def page(self) -> bytes:
        """All of them, in Prometheus' text format."""
        text = prometheus_client.generate_latest(self._registry)
        # The library ends a counter's name in _total and adds times of creation.
        text = _CREATED.sub(b"", text)
        return text.replace(f"{_COUNT}_total".encode(), _COUNT.encode())

    def _histogram(self, name, text, labels):
        return prometheus_client.Histogram(
            f":tensorflow:serving:{name}", text, labels, buckets=_BUCKETS, registry=self._registry
        )
