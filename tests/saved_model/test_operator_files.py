"""The files that an operator copies have the form that their programs expect, by their schemas."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

FOLDER = Path(__file__).parents[2] / "export"
MANIFESTS = sorted(
    path for path in (FOLDER / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml"
)


def documents(path):
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def test_the_models_config_names_a_base_path_for_each_model():
    text = (FOLDER / "models.config").read_text(encoding="utf-8")
    parsed = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    models = {model.name: model for model in parsed.model_config_list.config}
    assert set(models) == {"sinusoid", "omniglot"}
    for name, model in models.items():
        assert model.base_path == f"/models/{name}"
        assert model.model_platform == "tensorflow"


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_is_what_kubernetes_schema_wants(path):
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for document in documents(path):
        kubernetes_validate.validate(document, "1.34", strict=True)


def test_a_wrong_manifest_is_refused_by_the_schema():
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    (deployment,) = documents(FOLDER / "kubernetes" / "deployment.yaml")
    deployment["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(deployment, "1.34", strict=True)


def test_the_kustomization_names_every_manifest():
    (kustomization,) = documents(FOLDER / "kubernetes" / "kustomization.yaml")
    assert kustomization["resources"] == [path.name for path in MANIFESTS]


def test_the_pods_are_found_by_the_service_and_run_without_rights():
    (deployment,) = documents(FOLDER / "kubernetes" / "deployment.yaml")
    (service,) = documents(FOLDER / "kubernetes" / "service.yaml")
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert pod["metadata"]["labels"] == service["spec"]["selector"]
    names = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == names
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    models = [mount for mount in container["volumeMounts"] if mount["name"] == "models"]
    assert [mount["readOnly"] for mount in models] == [True]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
    assert "memory" in container["resources"]["limits"]


def test_the_monitoring_of_the_cluster_is_that_of_the_file():
    configuration = documents(FOLDER / "kubernetes" / "configuration.yaml")[0]
    inside = configuration["data"]["monitoring.config"]
    file = (FOLDER / "monitoring.config").read_text(encoding="utf-8")
    lines = [line.strip() for line in file.splitlines() if not line.startswith("#")]
    assert [line.strip() for line in inside.splitlines()] == lines


def test_the_compose_file_is_what_its_specification_wants(tmp_path):
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    good = FOLDER / "compose.yaml"
    done = subprocess.run([*command, good], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    bad = tmp_path / "compose.yaml"
    bad.write_text(good.read_text(encoding="utf-8").replace("ports:", "port:"))
    done = subprocess.run([*command, bad], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "port" in done.stdout


def test_the_compose_file_serves_on_loopback_only_and_mounts_models_read_only():
    (compose,) = documents(FOLDER / "compose.yaml")
    serving = compose["services"]["serving"]
    assert all(port.startswith("127.0.0.1:") for port in serving["ports"])
    assert all(volume["read_only"] for volume in serving["volumes"])
    (deployment,) = documents(FOLDER / "kubernetes" / "deployment.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert serving["image"] == container["image"]
