"""`python -m tfmeta.serve`: serves exported models over gRPC and REST, for development."""

import importlib.metadata
import importlib.util
import os
import pathlib
import re
import sys

from absl import app, flags, logging

from tfmeta.process.interrupts import Interrupts
from tfmeta.process.quiet_start import import_tensorflow
from tfmeta.process.version import __version__
from tfmeta.serve import command_flags, tf_serving_flags

_DOC = """Serves exported models as TF Serving does, for development, tests and demos.

In production use TF Serving. Flags of TF Serving have its names; export/SERVER.md lists all,
and docs/guides/serving.md those that have no effect here, or are refused.

Example: python -m tfmeta.serve --model_base_path=exported/sinusoid --model_name=sinusoid
A learned initialisation by name: python -m tfmeta.serve --preset=sinusoid_maml
A page to draw on, with its model: python -m tfmeta.serve --demo
"""
FLAGS = flags.FLAGS
_NEEDED = ("grpc_health", "prometheus_client", "starlette", "uvicorn")


def main(argv) -> int:
    """Serves until SIGTERM or SIGINT."""
    if FLAGS.version:
        print(f"tfmeta {__version__}, TensorFlow {importlib.metadata.version('tensorflow')}")
        return 0
    try:
        _check(argv)
        without_effect = tf_serving_flags.check(FLAGS)
        options, config = _options(), _read("model_config_file")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        logging.set_verbosity(logging.WARNING)
        with Interrupts():
            if FLAGS.preset:
                _take_preset()
            import_tensorflow()
            importlib.import_module("tfmeta.serve.server")  # seconds
        return _serve(options, config, without_effect)
    except KeyboardInterrupt:
        print("Stopped by SIGINT.", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _check(argv):
    if len(argv) > 1:
        raise ValueError(
            f"Arguments must be flags. Received: {' '.join(argv[1:])!r}. Write "
            "--model_base_path=..., --model_name=..."
        )
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"The embedded server needs the extra 'serving'. Received: no {', '.join(missing)}. "
            "Run: pip install 'tfmeta[serving]'"
        )
    if FLAGS.preset:
        _check_preset()
    elif FLAGS.demo:
        _check_demo()
    elif not FLAGS.model_base_path and not FLAGS.model_config_file:
        raise ValueError(
            "A server needs --model_base_path, the directory of a model's versions, "
            "--model_config_file, --preset, or --demo. Received: none of them."
        )


def _check_preset():
    for name in ("model_base_path", "model_config_file", "demo"):
        if getattr(FLAGS, name):
            raise ValueError(
                f"--preset names what is served. Received: --{name} too. Leave one of them out."
            )


def _take_preset():
    """Has the preset's export made, and takes it as what is served, under the preset's name."""
    from tfmeta.serve.preset_export import preset_base_path

    print(f"exporting preset {FLAGS.preset}, unless that was done before", flush=True)
    FLAGS.model_base_path = preset_base_path(FLAGS.preset, FLAGS.sha256)
    if not FLAGS["model_name"].present:
        FLAGS.model_name = pathlib.Path(FLAGS.model_base_path).name


def _check_demo():
    if FLAGS.model_config_file or FLAGS["model_name"].present:
        raise ValueError(
            "--demo serves one model under the name that its page asks for. Received: "
            f"{'--model_config_file' if FLAGS.model_config_file else '--model_name'}. Leave it "
            "out; --model_base_path may name another Omniglot model."
        )


def _serve(options, config, without_effect):
    from tfmeta.serve import logs
    from tfmeta.serve.errors import ServingError
    from tfmeta.serve.server import Server
    from tfmeta.serve.stop_signal import StopSignal

    logs.configure(FLAGS.log_level)
    for name, reason in without_effect:
        logs.info("flag_without_effect", flag=name, reason=reason)
    stopped = StopSignal()
    try:
        with Interrupts("loading the models", "the server stops once they are loaded"):
            server = Server(_models(config), options, _routes(), FLAGS.model_config_file).start()
    except ServingError as error:
        print(f"error: Failed to start server. Error: {error.message}", file=sys.stderr)
        return 1
    models = ", ".join(server.models.names)
    print(f"serving {models}: gRPC {server.grpc_address}, REST {server.rest_url}", flush=True)
    if FLAGS.demo:
        print(f"draw at {_reachable(server.rest_url)}/", flush=True)
    stopped.wait()
    if not server.stop():
        sys.stdout.flush()
        os._exit(1)  # else the interpreter would wait for requests that had their time
    _drop_unwritten_logs()
    return 0


def _drop_unwritten_logs():
    """Drops what a full disk did not take, which would make the interpreter's exit code 120."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _reachable(url):
    """The address to open in a browser, which no one can do with that of all interfaces."""
    return url.replace("//0.0.0.0:", "//localhost:").replace("//[::]:", "//localhost:")


def _models(config):
    from tfmeta.serve.configuration import ModelConfig
    from tfmeta.serve.models_config import read_models_config

    if config is not None:
        return read_models_config(config)
    if FLAGS.demo:
        from tfmeta.serve.demo import routes

        return [ModelConfig(routes.MODEL_NAME, FLAGS.model_base_path or routes.model_base_path())]
    return [ModelConfig(FLAGS.model_name, FLAGS.model_base_path)]


def _routes():
    if not FLAGS.demo:
        return ()
    from tfmeta.serve.demo import routes

    return routes.routes()


def _options():
    from tfmeta.serve.configuration import ServerOptions

    names = (
        "address",
        "port",
        "rest_api_port",
        "max_concurrent_requests",
        "max_queued_requests",
        "max_message_bytes",
        "max_connections",
        "max_request_seconds",
        "rest_api_timeout_in_ms",
        "rest_api_enable_cors_support",
        "client_timeout_seconds",
        "shutdown_seconds",
        "file_system_poll_wait_seconds",
        "model_config_file_poll_wait_seconds",
        "allow_version_labels_for_unavailable_models",
        "grpc_socket_path",
        "max_num_load_retries",
        "enable_model_warmup",
        "allow_insecure_address",
    )
    given = {name: getattr(FLAGS, name) for name in names if getattr(FLAGS, name) is not None}
    key = _read("api_key_file")
    if key is not None and not key.strip():
        raise ValueError("--api_key_file must hold a key. Received: an empty file.")
    return ServerOptions(
        load_retry_interval_seconds=FLAGS.load_retry_interval_micros / 1e6,
        intra_op_parallelism=_threads("tensorflow_intra_op_parallelism"),
        inter_op_parallelism=_threads("tensorflow_inter_op_parallelism"),
        metrics_path=_metrics_path(),
        grpc_channel_arguments=_channel_arguments(),
        # What is no ASCII stays visible to the check of the key.
        api_key=key.decode("ascii", "replace").strip() if key else None,
        tls_certificate=_read("tls_certificate_file"),
        tls_key=_read("tls_key_file"),
        **given,
    )


def _threads(flag):
    both = FLAGS.tensorflow_session_parallelism
    return both if both and not FLAGS[flag].present else getattr(FLAGS, flag)


def _metrics_path():
    from tfmeta.serve.configuration import METRICS_PATH
    from tfmeta.serve.monitoring_config import read_monitoring_config

    config = _read("monitoring_config_file")
    return METRICS_PATH if config is None else read_monitoring_config(config)


def _channel_arguments():
    """(name, value) pairs; what looks like an integer is one, as in TF Serving's `server.cc`."""
    pairs = []
    for part in filter(None, (FLAGS.grpc_channel_arguments or "").split(",")):
        name, equals, value = part.partition("=")
        if not (name and equals):
            raise ValueError(
                "--grpc_channel_arguments must be name=value, separated by commas. Received: "
                f"{part!r}. Write grpc.max_connection_age_ms=2000."
            )
        pairs.append((name, int(value) if re.fullmatch(r"[+-]?\d+", value) else value))
    return tuple(pairs)


def _read(flag):
    path = getattr(FLAGS, flag)
    if not path:
        return None
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise ValueError(
            f"--{flag} must name a file that can be read. Received: {path} ({error.strerror})."
        ) from error


if __name__ == "__main__":
    command_flags.define_flags()
    flags.adopt_module_key_flags(command_flags)  # for --help
    sys.modules["__main__"].__doc__ = _DOC
    app.run(main)
