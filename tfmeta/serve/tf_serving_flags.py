"""TF Serving's flags that the embedded server does not obey.

A flag that changes no answer is accepted and said in the log; one that would is refused by name,
with what to do. The names and defaults are those of TF Serving's `model_servers/main.cc` and
`server.h`; `docs/guides/serving.md` has the same table.
"""

import dataclasses

from absl import flags

_THREADS = "Threads follow --max_concurrent_requests and --max_queued_requests."
_NO_TFLITE = "Models of LiteRT are not served."
_NO_BATCHING = "Requests are not batched."


@dataclasses.dataclass(frozen=True)
class ForeignFlag:
    """A flag of TF Serving.

    Attributes:
        name: of the flag.
        default: its value where it is not given, whose type is the flag's.
        reason: why it has no effect here.
        instead: what to do where it is given another value than its default; None if any value is
            accepted.
    """

    name: str
    default: bool | int | float | str
    reason: str
    instead: str | None = None


FLAGS = (
    ForeignFlag("rest_api_num_threads", 0, _THREADS),
    ForeignFlag("grpc_max_threads", 0, _THREADS),
    ForeignFlag("num_load_threads", 0, "Each model has a thread that loads its versions."),
    ForeignFlag("num_unload_threads", 0, "Each version has a thread that unloads it."),
    ForeignFlag("flush_filesystem_caches", True, "The system's cache of files is left alone."),
    ForeignFlag("per_process_gpu_memory_fraction", 0.0, "A GPU's memory is taken as needed."),
    ForeignFlag("num_request_iterations_for_warmup", 0, "Each warmup record runs once."),
    ForeignFlag("remove_unused_fields_from_bundle_metagraph", True, "The graph is not kept."),
    ForeignFlag("num_tflite_pools", 0, _NO_TFLITE),
    ForeignFlag("num_tflite_interpreters_per_pool", 1, _NO_TFLITE),
    ForeignFlag("enable_signature_method_name_check", False, "Only Predict is served."),
    ForeignFlag("enable_profiler", True, "There is no profiler service."),
    ForeignFlag("thread_pool_factory_config_file", "", "Operations share TensorFlow's threads."),
    ForeignFlag("skip_initialize_tpu", False, "TPUs are not used."),
    ForeignFlag("enable_per_model_batching_parameters", False, _NO_BATCHING),
    ForeignFlag(
        "enable_batching",
        False,
        "Requests are not batched, and exported models carry no batching_params.pbtxt.",
        "Leave it out, or add --enable_per_model_batching_parameters, with which a model without "
        "batching_params.pbtxt is not batched in TF Serving either.",
    ),
    ForeignFlag(
        "batching_parameters_file",
        "",
        "Requests are not batched.",
        "Leave it out, or add --enable_batching and --enable_per_model_batching_parameters.",
    ),
    ForeignFlag("enable_grpc_healthcheck_service", True, "It is always on.", "Leave it out."),
    ForeignFlag(
        "enable_serialization_as_tensor_content",
        False,
        "Answers carry typed fields.",
        "Leave it out; clients read both forms with tf.make_ndarray.",
    ),
    ForeignFlag(
        "saved_model_tags", "serve", "Graphs are loaded by the tag 'serve'.", "Leave it out."
    ),
    ForeignFlag(
        "tensorflow_session_config_file",
        "",
        "The session is configured by flags.",
        "Use --tensorflow_intra_op_parallelism and --tensorflow_inter_op_parallelism.",
    ),
    ForeignFlag("platform_config_file", "", "SavedModels are the only platform.", "Leave it out."),
    ForeignFlag(
        "use_alts_credentials",
        False,
        "ALTS is not supported.",
        "Use --tls_certificate_file and --tls_key_file.",
    ),
    ForeignFlag(
        "ssl_config_file",
        "",
        "Certificates are files of their own, for both ports.",
        "Use --tls_certificate_file and --tls_key_file.",
    ),
    ForeignFlag("prefer_tflite_model", False, _NO_TFLITE, "Leave it out."),
    ForeignFlag(
        "xla_cpu_compilation_enabled", False, "XLA is off, TF Serving's default.", "Leave it out."
    ),
    ForeignFlag(
        "xla_gpu_compilation_enabled", False, "XLA is off, TF Serving's default.", "Leave it out."
    ),
    ForeignFlag("mixed_precision", "", "Graphs run as they are.", "Leave it out."),
)
_KINDS = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def define(values):
    """Defines the flags.

    Args:
        values: absl's flag values that get them.
    """
    for flag in FLAGS:
        refused = "Refused where it is given" if flag.instead else "No effect"
        _KINDS[type(flag.default)](
            flag.name, flag.default, f"{refused}. {flag.reason}", flag_values=values
        )


def check(values) -> list:
    """The flags that were given and have no effect.

    Args:
        values: absl's flag values, parsed.

    Returns:
        List of (name, reason).

    Raises:
        ValueError: if a flag was given that would change answers.
    """
    given = [flag for flag in FLAGS if values[flag.name].present]
    model_by_model = values.enable_per_model_batching_parameters and values.enable_batching
    for flag in given:
        value = getattr(values, flag.name)
        batching = flag.name in ("enable_batching", "batching_parameters_file")
        if flag.instead and value != flag.default and not (batching and model_by_model):
            raise ValueError(
                f"--{flag.name} is not obeyed by the embedded server. Received: {value!r}. "
                f"{flag.reason} {flag.instead}"
            )
    return [*((flag.name, flag.reason) for flag in given), *_overridden(values)]


def _overridden(values):
    """Flags that another flag, or its absence, leaves without effect, as in TF Serving."""
    if values.model_config_file:
        names, reason = ("model_name", "model_base_path"), "--model_config_file names the models."
    else:
        names, reason = ("model_config_file_poll_wait_seconds",), "There is no --model_config_file."
    return [(name, reason) for name in names if values[name].present]
