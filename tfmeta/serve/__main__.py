"""`python -m tfmeta.serve`: serves exported models over gRPC and REST, for development."""

import importlib.util
import os
import pathlib
import sys

from absl import app, flags, logging

from tfmeta.quiet_start import import_tensorflow

_DOC = """Serves exported models as TF Serving does, for development, tests and demos.

In production use TF Serving. Flags of TF Serving have its names; export/SERVER.md lists all.

Example: python -m tfmeta.serve --model_base_path=exported/sinusoid --model_name=sinusoid
A page to draw on, with its model: python -m tfmeta.serve --demo
"""
FLAGS = flags.FLAGS
_NEEDED = ("grpc_health", "prometheus_client", "starlette", "uvicorn")


def main(argv) -> int:
    """Serves until SIGTERM or SIGINT."""
    try:
        _check(argv)
        options, config = _options(), _read("model_config_file")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        logging.set_verbosity(logging.WARNING)
        import_tensorflow()
        return _serve(options, config)
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
    if FLAGS.demo:
        _check_demo()
    elif not FLAGS.model_base_path and not FLAGS.model_config_file:
        raise ValueError(
            "A server needs --model_base_path, the directory of a model's versions, "
            "--model_config_file, or --demo. Received: none of them."
        )


def _check_demo():
    if FLAGS.model_config_file or FLAGS["model_name"].present:
        raise ValueError(
            "--demo serves one model under the name that its page asks for. Received: "
            f"{'--model_config_file' if FLAGS.model_config_file else '--model_name'}. Leave it "
            "out; --model_base_path may name another Omniglot model."
        )


def _serve(options, config):
    from tfmeta.serve import logs
    from tfmeta.serve.errors import ServingError
    from tfmeta.serve.server import Server
    from tfmeta.serve.stop_signal import StopSignal

    logs.configure(FLAGS.log_level)
    stopped = StopSignal()
    try:
        server = Server(_models(config), options, _routes()).start()
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
    return 0


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
        intra_op_parallelism=FLAGS.tensorflow_intra_op_parallelism,
        inter_op_parallelism=FLAGS.tensorflow_inter_op_parallelism,
        # What is no ASCII stays visible to the check of the key.
        api_key=key.decode("ascii", "replace").strip() if key else None,
        tls_certificate=_read("tls_certificate_file"),
        tls_key=_read("tls_key_file"),
        **given,
    )


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


def define_flags():
    """The flags, under TF Serving's names where it has them."""
    text, whole = flags.DEFINE_string, flags.DEFINE_integer
    number, switch = flags.DEFINE_float, flags.DEFINE_bool
    text("model_base_path", None, "Directory of the model's versions.")
    text("model_name", "default", "What requests call the model.")
    switch("demo", False, "Serve a page to draw on at / of the REST port, and its model.")
    text("model_config_file", None, "ModelServerConfig in text form, for several models.")
    text("address", "127.0.0.1", "Address to bind; beyond loopback TLS and a key are needed.")
    whole("port", 8500, "gRPC port; 0 for a free one, which is printed.")
    whole("rest_api_port", 8501, "REST port; 0 for a free one, which is printed.")
    whole("max_concurrent_requests", None, "Requests computed at once; default: one a core.")
    whole("max_queued_requests", 64, "Requests that wait; more get RESOURCE_EXHAUSTED.")
    whole("max_message_bytes", 32 * 2**20, "Largest request and largest tensor.")
    whole("max_connections", 256, "Open REST connections; more get 503.")
    number("max_request_seconds", 120.0, "Longest that a request may take.")
    whole("rest_api_timeout_in_ms", 30_000, "Deadline of a REST request.")
    switch("rest_api_enable_cors_support", False, "Let pages of other origins call REST.")
    number("client_timeout_seconds", 20.0, "Longest to send a request or read an answer.")
    number("shutdown_seconds", 30.0, "How long a stop waits for requests in progress.")
    number("file_system_poll_wait_seconds", 1.0, "Pause between looks for versions; 0: look once.")
    whole("max_num_load_retries", 5, "How often a failed version is tried again.")
    whole("load_retry_interval_micros", 60_000_000, "Pause before each, in microseconds.")
    switch("enable_model_warmup", True, "Run a version's warmup records before it serves.")
    whole("tensorflow_intra_op_parallelism", 1, "Threads of an operation; 0: automatic.")
    whole("tensorflow_inter_op_parallelism", 0, "Operations at once; 0: automatic.")
    text("api_key_file", None, "File of the key that clients must send.")
    text("tls_certificate_file", None, "PEM certificate chain for both ports.")
    text("tls_key_file", None, "PEM private key of the certificate.")
    switch("allow_insecure_address", False, "Bind beyond loopback without TLS and a key.")
    flags.DEFINE_enum(
        "log_level", "INFO", ["DEBUG", "INFO", "WARNING", "ERROR"], "Least level logged."
    )


if __name__ == "__main__":
    define_flags()
    sys.modules["__main__"].__doc__ = _DOC
    app.run(main)
