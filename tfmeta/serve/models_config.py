"""`models.config`: several models, in TF Serving's text format."""

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tfmeta.serve.configuration import ModelConfig

_PLATFORM = "tensorflow"


def read_models_config(text) -> list:
    """The models of a `ModelServerConfig` in text form.

    Args:
        text: bytes of the file.

    Returns:
        List of `ModelConfig`.

    Raises:
        ValueError: if it cannot be parsed, or names no model.
    """
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(text.decode("utf-8-sig"), config)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(
            "--model_config_file must be a ModelServerConfig in text form, in UTF-8. Received: an "
            f"error at {str(error).rstrip('. ')}. Compare export/models.config."
        ) from error
    models = models_of(config.model_config_list)
    if not models:
        raise ValueError(
            "--model_config_file must name a model. Received: none in model_config_list."
        )
    return models


def models_of(config_list) -> list:
    """The models of a `ModelConfigList`.

    Args:
        config_list: the message.

    Returns:
        List of `ModelConfig`.

    Raises:
        ValueError: if a model has no name, base path or platform that can be served.
    """
    return [_model(model) for model in config_list.config]


def _model(model):
    if not model.name or not model.base_path:
        raise ValueError(
            "Each model of a ModelServerConfig needs a name and a base_path. Received: "
            f"name {model.name!r}, base_path {model.base_path!r}."
        )
    old = model.model_type == model_server_config_pb2.TENSORFLOW  # how it was said before
    if model.model_platform != _PLATFORM and not (old and not model.model_platform):
        raise ValueError(
            f"Each model of a ModelServerConfig needs model_platform: {_PLATFORM!r}, as in TF "
            f"Serving. Received: {model.model_platform!r} for {model.name!r}."
        )
    policy, latest, specific = model.model_version_policy, 1, ()
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        latest = 0
    elif choice == "latest":
        latest = max(1, policy.latest.num_versions)
    elif choice == "specific":
        specific = tuple(policy.specific.versions)
        if not specific:
            raise ValueError(
                "A version policy 'specific' needs versions; without one nothing would be served. "
                f"Received: none for {model.name!r}. Write specific {{ versions: 1 }}."
            )
    return ModelConfig(model.name, model.base_path, dict(model.version_labels), latest, specific)
