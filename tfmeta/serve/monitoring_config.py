"""`monitoring.config`: where metrics are shown, in TF Serving's text format.

`tensorflow-serving-api` lacks the message, so that its two fields are described here.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from tfmeta.serve.configuration import METRICS_PATH

_PACKAGE = "tfmeta.serve.monitoring"
_Field = descriptor_pb2.FieldDescriptorProto


def read_monitoring_config(text) -> str | None:
    """The path of the metrics that a `MonitoringConfig` asks for.

    Example:

        >>> read_monitoring_config(b"prometheus_config { enable: true }")
        '/monitoring/prometheus/metrics'

    Args:
        text: bytes of the file.

    Returns:
        The path, or None where they are not to be shown.

    Raises:
        ValueError: if it cannot be parsed.
    """
    config = _message_class()()
    try:
        text_format.Parse(text.decode("utf-8-sig"), config)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(
            "--monitoring_config_file must be a MonitoringConfig in text form. Received: an error "
            f"at {error}. Compare export/monitoring.config."
        ) from error
    prometheus = config.prometheus_config
    return (prometheus.path or METRICS_PATH) if prometheus.enable else None


def _message_class():
    file = descriptor_pb2.FileDescriptorProto(
        name="tfmeta/serve/monitoring_config.proto", package=_PACKAGE, syntax="proto3"
    )
    prometheus = file.message_type.add(name="PrometheusConfig")
    _add_field(prometheus, "enable", 1, _Field.TYPE_BOOL)
    _add_field(prometheus, "path", 2, _Field.TYPE_STRING)
    monitoring = file.message_type.add(name="MonitoringConfig")
    field = _add_field(monitoring, "prometheus_config", 1, _Field.TYPE_MESSAGE)
    field.type_name = f".{_PACKAGE}.PrometheusConfig"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{_PACKAGE}.MonitoringConfig")
    )


def _add_field(message, name, number, kind):
    return message.field.add(name=name, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
