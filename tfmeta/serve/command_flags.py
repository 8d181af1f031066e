"""The flags of `python -m tfmeta.serve`, under TF Serving's names where it has them."""

import functools

from absl import flags

from tfmeta.serve import tf_serving_flags


def define_flags(values=flags.FLAGS):
    """Defines the flags that the embedded server obeys, and TF Serving's others.

    Args:
        values: absl's flag values that get them.
    """
    tf_serving_flags.define(values)
    text = functools.partial(flags.DEFINE_string, flag_values=values)
    whole = functools.partial(flags.DEFINE_integer, flag_values=values)
    number = functools.partial(flags.DEFINE_float, flag_values=values)
    switch = functools.partial(flags.DEFINE_bool, flag_values=values)
    text("model_base_path", None, "Directory of the model's versions.")
    text("model_name", "default", "What requests call the model.")
    text("preset", None, "A preset to export and serve: a name, a path, or a URL with --sha256.")
    text("sha256", None, "Hash of the preset's file; a URL needs it.")
    switch("demo", False, "Serve a page to draw on at / of the REST port, and its model.")
    text("model_config_file", None, "ModelServerConfig in text form, for several models.")
    number("model_config_file_poll_wait_seconds", 0.0, "Pause between looks at that file; 0: none.")
    text("monitoring_config_file", None, "MonitoringConfig in text form: path of the metrics.")
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
    switch(
        "allow_version_labels_for_unavailable_models",
        False,
        "Let new labels name versions that are not served yet.",
    )
    whole("tensorflow_session_parallelism", 0, "Both of the following, where they are not given.")
    whole("tensorflow_intra_op_parallelism", 1, "Threads of an operation; 0: automatic.")
    whole("tensorflow_inter_op_parallelism", 0, "Operations at once; 0: automatic.")
    text("grpc_socket_path", None, "UNIX socket that gRPC listens on too.")
    text("grpc_channel_arguments", None, "name=value,... for the gRPC server.")
    text("api_key_file", None, "File of the key that clients must send.")
    text("tls_certificate_file", None, "PEM certificate chain for both ports.")
    text("tls_key_file", None, "PEM private key of the certificate.")
    switch("version", False, "Print the versions of tfmeta and TensorFlow, and end.")
    switch("allow_insecure_address", False, "Bind beyond loopback without TLS and a key.")
    flags.DEFINE_enum(
        "log_level",
        "INFO",
        ["DEBUG", "INFO", "WARNING", "ERROR"],
        "Least level logged.",
        flag_values=values,
    )
