"""The files that an operator copies are what TensorFlow Serving's protocol buffers expect."""

from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

FOLDER = Path(__file__).parents[2] / "export"


def test_the_models_config_names_a_base_path_for_each_model():
    text = (FOLDER / "models.config").read_text(encoding="utf-8")
    parsed = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    models = {model.name: model for model in parsed.model_config_list.config}
    assert set(models) == {"sinusoid", "omniglot"}
    for name, model in models.items():
        assert model.base_path == f"/models/{name}"
        assert model.model_platform == "tensorflow"
