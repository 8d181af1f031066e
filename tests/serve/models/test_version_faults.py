"""Versions whose files are flipped, garbage, half there, replaced or gone: the old one answers on.

The quick part; `python -m benchmarks.serving_faults` is the long one.
"""

import os
import random
import shutil

import numpy as np
import pytest
from serving_clients import Client, predict_request, rest, wait_until
from tensorflow_serving.apis import get_model_status_pb2

from tfmeta.saved_model.checksums import CHECKSUM_FILE, write_checksums

X = {"x": np.float32([1.0])}
WARMUP = "assets.extra/tf_serving_warmup_requests"


@pytest.fixture
def client(start, base_path, half_plus_two):
    """A client of a server whose version 1 answers 2.5."""
    with Client(start(base_path(half_plus_two), "model").grpc_address) as connected:
        yield connected


def value(client):
    """(the answer to 1.0, version)."""
    outputs, version = client.predict("model", X)
    return float(outputs["y"][0]), version


def status(client, version):
    """(state, error code, message) of a version; None while it is unknown."""
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "model"
    names = get_model_status_pb2.ModelVersionStatus.State.Name
    for each in client.model.GetModelStatus(request, timeout=30).model_version_status:
        if each.version == version:
            return names(each.state), each.status.error_code, each.status.error_message
    return None


def ended(client, version):
    """(error code, message) of a version, once it has ended."""
    _, code, message = wait_until(
        lambda: (status(client, version) or ("",))[0] == "END" and status(client, version)
    )
    return code, message


def flip(file):
    """Flips one bit of a file, by a fixed seed."""
    generator, content = random.Random(file.name), bytearray(file.read_bytes())
    content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    file.write_bytes(content)


def first(version, pattern):
    return next(version.glob(pattern))


DATA_LOSS, NOT_FOUND, INVALID_ARGUMENT = 15, 5, 3
SPOILT = {
    "a bit of the graph": (lambda v: flip(v / "saved_model.pb"), DATA_LOSS, "saved_model.pb in"),
    "a bit of the variables": (
        lambda v: flip(first(v, "variables/*.data-*")),
        DATA_LOSS,
        "is not the file that was exported",
    ),
    "a bit of the checksums": (lambda v: flip(v / CHECKSUM_FILE), NOT_FOUND, "saved_motel.pb"),
    "garbage for a graph": (
        lambda v: ((v / CHECKSUM_FILE).unlink(), (v / "saved_model.pb").write_bytes(b"?" * 5000)),
        DATA_LOSS,
        "Can't parse",
    ),
    "an empty graph": (
        lambda v: ((v / CHECKSUM_FILE).unlink(), (v / "saved_model.pb").write_bytes(b"")),
        NOT_FOUND,
        "Could not find meta graph def matching supplied tags",
    ),
    "garbage for warmup": (lambda v: (v / WARMUP).write_bytes(b"?" * 5000), DATA_LOSS, "corrupted"),
    "a warmup cut short": (lambda v: os.truncate(v / WARMUP, 20), DATA_LOSS, "truncated"),
    "a bit of the warmup": (lambda v: flip(v / WARMUP), DATA_LOSS, "corrupted"),
    "no variables yet": (
        lambda v: ((v / CHECKSUM_FILE).unlink(), shutil.rmtree(v / "variables")),
        NOT_FOUND,
        "values of variables",
    ),
    "half of the variables yet": (
        lambda v: ((v / CHECKSUM_FILE).unlink(), first(v, "variables/*.data-*").unlink()),
        NOT_FOUND,
        "",
    ),
    "a disk that was full": (
        lambda v: [os.truncate(each, each.stat().st_size // 2) for each in v.glob("variables/*")],
        DATA_LOSS,
        "is not the file",
    ),
    "a file in place of a directory": (
        lambda v: (shutil.rmtree(v), v.write_bytes(b"")),
        NOT_FOUND,
        "Could not find SavedModel",
    ),
}


@pytest.fixture(scope="module")
def whole(half_plus_three, tmp_path_factory):
    """A version with warmup records and checksums; it answers 3.5."""
    from tests.serve.models.test_model_versions import write_warmup

    version = tmp_path_factory.mktemp("whole") / "version"
    shutil.copytree(half_plus_three, version)
    write_warmup(version, [predict_request("model", X)])
    write_checksums(version)
    return version


def test_a_spoilt_version_ends_with_its_reason_and_a_good_one_follows(
    client, tmp_path, base_path, whole
):
    number = 1
    for name, (spoil, code, words) in SPOILT.items():
        number += 1
        spoilt = tmp_path / f"spoilt_{number}"
        shutil.copytree(whole, spoilt)
        spoil(spoilt)
        spoilt.rename(tmp_path / "model" / str(number))
        assert ended(client, number)[0] == code, (name, ended(client, number))
        assert words in ended(client, number)[1], name
        assert ended(client, number)[1], name
        assert value(client) == (2.5, 1), name
    # The last one is mended in place, as a slow copy does: it is tried again.
    shutil.rmtree(tmp_path / "model" / str(number), ignore_errors=True)
    (tmp_path / "model" / str(number)).unlink(missing_ok=True)
    base_path(whole, number)
    wait_until(lambda: (status(client, number) or ("",))[0] == "AVAILABLE")
    assert value(client) == (3.5, number)


def test_a_loaded_version_stays_as_it_was_loaded_and_the_log_says_so(
    client, tmp_path, half_plus_three, log_lines
):
    version = tmp_path / "model" / "1"
    for file in (path for path in half_plus_three.rglob("*") if path.is_file()):
        shutil.copy(file, version / file.relative_to(half_plus_three))
    wait_until(lambda: "Give the new files a new version number" in log_lines())
    assert value(client) == (2.5, 1)
    assert log_lines().count("version_changed") <= 2  # a copy may be seen half way


def test_a_base_path_that_comes_back_with_a_new_version_is_followed(
    client, tmp_path, whole, log_lines
):
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    wait_until(lambda: "Could not find base path" in log_lines())
    (tmp_path / "model").write_bytes(b"")  # a file in its place
    assert value(client) == (2.5, 1)
    (tmp_path / "model").unlink()
    shutil.copytree(whole, tmp_path / "elsewhere" / "2")
    (tmp_path / "elsewhere").rename(tmp_path / "model")
    wait_until(lambda: (status(client, 2) or ("",))[0] == "AVAILABLE")
    assert value(client) == (3.5, 2)


def test_a_base_path_of_any_bytes_is_served_and_its_faults_are_said(
    start, tmp_path, half_plus_two, whole
):
    base = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(half_plus_two, base / "1")
    server = start(base, "model")
    with Client(server.grpc_address) as client:
        assert value(client) == (2.5, 1)
        shutil.copytree(half_plus_two, base / ".2")
        shutil.rmtree(base / ".2" / "variables")
        (base / ".2").rename(base / "2")
        assert "caf\ufffd/2" in ended(client, 2)[1]
        assert rest(server, "GET", "/v1/models/model/versions/2")[0] == 200
        shutil.copytree(whole, base / ".3")  # with warmup records
        (base / ".3").rename(base / "3")
        wait_until(lambda: (status(client, 3) or ("",))[0] == "AVAILABLE")
        assert value(client) == (3.5, 3)


def test_a_rollback_to_a_spoilt_version_keeps_the_newer_one(client, base_path, tmp_path, whole):
    base_path(whole, 2)
    wait_until(lambda: status(client, 1)[0] == "END")
    (tmp_path / "model" / "1" / "saved_model.pb").write_bytes(b"?" * 100)
    shutil.rmtree(tmp_path / "model" / "2")
    assert wait_until(lambda: ended(client, 1)[0]) == DATA_LOSS
    assert value(client) == (3.5, 2)
    base_path(whole, 3)
    wait_until(lambda: (status(client, 3) or ("",))[0] == "AVAILABLE")
    assert value(client) == (3.5, 3)
