"""TF Serving's flags: obeyed, accepted without effect, or refused by name."""

import pathlib
import re

import pytest
from absl import flags
from serving_clients import rest

import tfmeta.serve
from tfmeta.serve import command_flags, tf_serving_flags
from tfmeta.serve.monitoring_config import read_monitoring_config

ROOT = pathlib.Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "serving.md"
# All flags of TF Serving's model_servers/main.cc (tensorflow/serving at 9d981c5).
TF_SERVING = """
port grpc_socket_path rest_api_port rest_api_num_threads rest_api_timeout_in_ms
rest_api_enable_cors_support enable_batching allow_version_labels_for_unavailable_models
batching_parameters_file enable_per_model_batching_parameters model_config_file
model_config_file_poll_wait_seconds model_name model_base_path num_load_threads num_unload_threads
max_num_load_retries load_retry_interval_micros file_system_poll_wait_seconds
flush_filesystem_caches tensorflow_session_parallelism tensorflow_session_config_file
tensorflow_intra_op_parallelism tensorflow_inter_op_parallelism use_alts_credentials
ssl_config_file platform_config_file per_process_gpu_memory_fraction saved_model_tags
grpc_channel_arguments grpc_max_threads enable_model_warmup num_request_iterations_for_warmup
version monitoring_config_file remove_unused_fields_from_bundle_metagraph prefer_tflite_model
num_tflite_pools num_tflite_interpreters_per_pool enable_signature_method_name_check
xla_cpu_compilation_enabled xla_gpu_compilation_enabled enable_profiler
thread_pool_factory_config_file mixed_precision skip_initialize_tpu
enable_grpc_healthcheck_service enable_serialization_as_tensor_content
"""


def parsed(*given):
    """The values of flags, of their own."""
    values = flags.FlagValues()
    command_flags.define_flags(values)
    values(["server", *given])
    return values


def test_every_flag_of_tf_serving_is_known():
    values = parsed()
    assert set(values) >= set(TF_SERVING.split())
    assert tf_serving_flags.check(values) == []
    assert {flag.name for flag in tf_serving_flags.FLAGS} <= set(TF_SERVING.split())


def test_the_guide_lists_every_flag_that_is_not_obeyed():
    rows = dict(re.findall(r"^\| `--(\w+)` \| (\w+)", GUIDE.read_text("utf-8"), re.MULTILINE))
    for flag in tf_serving_flags.FLAGS:
        assert rows.get(flag.name) == ("refused" if flag.instead else "accepted"), flag.name


ACCEPTED = [flag for flag in tf_serving_flags.FLAGS if flag.instead is None]
REFUSED = [flag for flag in tf_serving_flags.FLAGS if flag.instead is not None]


def another(flag):
    """The flag with another value than its default."""
    return f"--{flag.name}={not flag.default if isinstance(flag.default, bool) else 7}"


@pytest.mark.parametrize("flag", ACCEPTED, ids=lambda flag: flag.name)
def test_a_flag_that_changes_no_answer_is_accepted(flag):
    assert tf_serving_flags.check(parsed(another(flag))) == [(flag.name, flag.reason)]


@pytest.mark.parametrize("flag", REFUSED, ids=lambda flag: flag.name)
def test_a_flag_that_would_change_answers_is_refused_by_name(flag):
    with pytest.raises(ValueError, match=rf"^--{flag.name} is not obeyed.*Received: ") as caught:
        tf_serving_flags.check(parsed(another(flag)))
    assert flag.instead in str(caught.value)
    kept = f"--{flag.name}={flag.default}"
    assert tf_serving_flags.check(parsed(kept)) == [(flag.name, flag.reason)]


def test_flags_that_another_flag_overrides_are_said():
    both = parsed("--model_config_file=models.config", "--model_base_path=a", "--model_name=b")
    assert [name for name, _ in tf_serving_flags.check(both)] == ["model_name", "model_base_path"]
    alone = parsed("--model_base_path=a", "--model_config_file_poll_wait_seconds=1")
    reason = "There is no --model_config_file."
    assert tf_serving_flags.check(alone) == [("model_config_file_poll_wait_seconds", reason)]


def test_batching_model_by_model_batches_no_export():
    values = parsed(
        "--enable_batching",
        "--enable_per_model_batching_parameters",
        "--batching_parameters_file=x",
    )
    assert len(tf_serving_flags.check(values)) == 3


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b"prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        (b'prometheus_config { enable: true path: "/my/metrics" }', "/my/metrics"),
        (b'prometheus_config { path: "/my/metrics" }', None),
        (b"", None),
    ],
)
def test_a_monitoring_config_is_read(text, path):  # http_server.cc:213
    assert read_monitoring_config(text) == path


def test_a_wrong_monitoring_config_is_refused():
    with pytest.raises(ValueError, match="must be a MonitoringConfig in text form"):
        read_monitoring_config(b"prometheus { on }")
    with pytest.raises(ValueError, match="metrics_path must be a path"):
        tfmeta.serve.ServerOptions(metrics_path="/v1/models/{x}")


@pytest.mark.parametrize("path", [None, "/my/metrics"])
def test_metrics_are_where_they_are_wanted(start, base_path, half_plus_two, path):
    server = start(base_path(half_plus_two), "model", metrics_path=path)
    assert rest(server, "GET", "/monitoring/prometheus/metrics") == (404, "")
    if path:
        status, page = rest(server, "GET", path)
        assert (status, "# TYPE" in page) == (200, True)
