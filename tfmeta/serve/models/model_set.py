"""The models that a server has and their labels, replaced as a whole by another configuration.

As TF Serving's `model_servers/server_core.cc`: labels are checked first, models that the new
configuration lacks are drained, new ones are loaded, and one that does not load stays wanted.
"""

import contextlib
import threading

from tfmeta.serve import logs
from tfmeta.serve.configuration import shutting_down
from tfmeta.serve.errors import Code, ServingError, invalid
from tfmeta.serve.models.model_versions import ModelVersions, not_found


class ModelSet:
    """Models by name.

    Args:
        configs: list of `ModelConfig`.
        options: `ServerOptions`.
        metrics: `Metrics`.

    Raises:
        ValueError: if there is none, or names do not differ.
    """

    def __init__(self, configs, options, metrics):
        names = [config.name for config in configs]
        if not names or len(set(names)) < len(names) or "" in names:
            raise ValueError(
                f"Models must have names that differ. Received: {names}. Name each once."
            )
        self._options, self._metrics = options, metrics
        self._labels = {config.name: dict(config.labels) for config in configs}
        self._models = {config.name: self._new(config) for config in configs}
        self._former = {}  # for their states only
        self._changing = threading.Lock()
        self._retiring = []
        self._stopped = False

    @property
    def names(self) -> list:
        """Names of the models."""
        return list(self._models)

    def start(self):
        """Loads the models and watches their base paths.

        Raises:
            ServingError: if one cannot be loaded, or a label is one of no loaded version.
        """
        for model in self._models.values():
            model.start()
        for name, labels in self._labels.items():
            self._check_labels(name, labels, {})

    def stop(self):
        """Frees all models; none may be in use."""
        with self._changing:
            self._stopped = True
            for model in self._models.values():
                model.stop()
            for thread in self._retiring:
                thread.join()

    def replace(self, configs):
        """Serves these models and no others.

        Args:
            configs: list of `ModelConfig`, without relative base paths.

        Raises:
            ServingError: INVALID_ARGUMENT or FAILED_PRECONDITION if nothing was changed, UNKNOWN if
                new models did not load; these stay in the set, and are tried again.
        """
        _check(configs)
        with self._changing:
            if self._stopped:
                raise shutting_down()
            for config in configs:
                self._check_labels(config.name, config.labels, self._labels.get(config.name, {}))
            self._labels = {config.name: dict(config.labels) for config in configs}
            self._metrics.add_models(config.name for config in configs)
            failures = self._replace({config.name: config for config in configs})
        if failures:
            raise ServingError(
                Code.UNKNOWN,
                f"{len(failures)} model(s) did not become available: {{{', '.join(failures)}, }}",
            )

    def status(self, name, number=None) -> list:
        """(version, state, error) of a model, of one that is no longer served too."""
        model = self._models.get(name) or self._former.get(name)
        return model.status(number) if model else []

    @contextlib.contextmanager
    def use(self, name, number):
        """Holds a version of a model, the newest for no number.

        Raises:
            ServingError: NOT_FOUND if there is none.
        """
        with contextlib.ExitStack() as held:
            version = None
            while version is None:
                model = self._models.get(name)
                if model is None:
                    asked = f"Latest({name})" if number is None else f"Specific({name}, {number})"
                    raise not_found(asked)
                try:
                    version = held.enter_context(model.use(number))
                except ServingError:
                    if self._models.get(name) is model:
                        raise  # else it was replaced meanwhile
            yield version

    def labelled(self, name, label) -> int:
        """The version of a label.

        Raises:
            ServingError: INVALID_ARGUMENT if the model has no such label.
        """
        labels = self._labels.get(name, {})
        if label not in labels:
            raise invalid(f"Unrecognized servable version label: {label}")
        return labels[label]

    def _new(self, config):
        return ModelVersions(config, self._options, self._metrics)

    def _replace(self, configs):
        old, new, kept = self._models, {}, {}
        for name, config in configs.items():
            known = old.get(name)
            if known is not None and known.config.base_path == config.base_path:
                new[name] = kept[name] = known
            else:
                new[name] = self._new(config)
        # A model with another base path is served from the old one until the new one is loaded.
        self._models = {name: old.get(name, new[name]) for name in configs}
        gone = {name: model for name, model in old.items() if name not in configs}
        self._retire(gone)
        for name, model in kept.items():
            model.reconfigure(configs[name])
        failures = []
        for name in sorted(set(new) - set(kept)):
            failed = _first_look(name, new[name])
            failures += failed
            if failed and name in old:
                new[name].stop()
                continue
            self._retire({name: old[name]} if name in old else {})
            self._models = {**self._models, name: new[name]}
            new[name].watch()
        return failures

    def _retire(self, models):
        for name, model in models.items():
            self._former[name] = model
            logs.info("model_retired", model=name)
            thread = threading.Thread(target=model.stop, name="retire", daemon=True)
            thread.start()
            self._retiring = [each for each in self._retiring if each.is_alive()]
            self._retiring.append(thread)

    def _check_labels(self, name, labels, before):
        model = self._models.get(name)
        available = [version.number for version in model.available()] if model else []
        for label, number in labels.items():
            # A label that is new may wait for its version where that is allowed.
            waits = self._options.allow_version_labels_for_unavailable_models
            if number not in available and not (waits and before.get(label, number) == number):
                raise ServingError(
                    Code.FAILED_PRECONDITION,
                    f"Request to assign label to version {number} of model {name}, which is not "
                    "currently available for inference",
                )


def _check(configs):
    seen = set()
    for config in configs:
        if config.name in seen:
            raise invalid(f"Illegal to list model {config.name} multiple times in config list")
        seen.add(config.name)
        if not config.base_path.startswith("/"):
            raise invalid(
                f"Expected model {config.name} to have an absolute path or URI; got "
                f"base_path()={config.base_path}"
            )


def _first_look(name, model):
    """What went wrong with a model's first look at its base path, in TF Serving's form."""
    try:
        model.look()
    except ServingError as error:
        return [f"{{name: {name} due to error: {error.code.name}: {error.message}}}"]
    return []
