"""Where presets are found: names, paths, and URLs of a server of this test's own."""

import hashlib
import http.server
import threading

import numpy as np
import pytest

from tests.presets.test_archive import ARRAYS, INFO
from tfmeta.presets import Preset, find_preset, open_preset, preset_names, sources, write_preset

OTHER = "0" * 64


@pytest.fixture
def preset_file(tmp_path):
    return write_preset(Preset(INFO, ARRAYS), tmp_path / "given" / "small.npz")


@pytest.fixture
def digest(preset_file):
    return hashlib.sha256(preset_file.read_bytes()).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TFMETA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "presets"


@pytest.fixture
def server(preset_file):
    """A web server; `asked` has the paths that were asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path.startswith("/to/"):
                self.send_response(302)
                self.send_header("Location", self.path.removeprefix("/to/"))
                self.end_headers()
                return
            found = self.path == "/small.npz"
            self.send_response(200 if found else 404)
            self.end_headers()
            if found:
                self.wfile.write(preset_file.read_bytes())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        found.asked = asked
        found.url = f"http://127.0.0.1:{found.server_port}"
        threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True).start()
        yield found
        found.shutdown()


def test_a_url_is_downloaded_once_and_kept_by_its_hash(server, digest, cache):
    first = find_preset(f"{server.url}/small.npz", digest)
    second = find_preset(f"{server.url}/small.npz", digest.upper())
    assert first == second == cache / f"{digest}.npz"
    assert server.asked == ["/small.npz"]
    assert open_preset(f"{server.url}/small.npz", digest).name == "small"


def test_a_kept_file_that_was_changed_is_downloaded_again(server, digest, cache):
    find_preset(f"{server.url}/small.npz", digest).write_bytes(b"changed")
    assert open_preset(f"{server.url}/small.npz", digest).sha256 == digest
    assert len(server.asked) == 2


def test_a_url_without_a_hash_is_refused_before_it_is_asked(server):
    with pytest.raises(ValueError, match="needs sha256"):
        find_preset(f"{server.url}/small.npz")
    assert server.asked == []


def test_another_hash_is_refused_and_nothing_is_kept(server, digest, cache):
    with pytest.raises(ValueError, match=f"sha256 {digest} where {OTHER}"):
        find_preset(f"{server.url}/small.npz", OTHER)
    assert not any(cache.iterdir())


def test_too_large_an_answer_is_refused_and_nothing_is_kept(server, digest, cache, monkeypatch):
    monkeypatch.setattr(sources, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match="at most 100 bytes"):
        find_preset(f"{server.url}/small.npz", digest)
    assert not any(cache.iterdir())


@pytest.mark.parametrize("scheme", ["file", "ftp", "data"])
def test_other_schemes_are_refused(scheme, preset_file, digest):
    with pytest.raises(ValueError, match="https://"):
        find_preset(f"{scheme}://{preset_file}", digest)


def test_a_redirection_to_a_file_is_not_followed(server, preset_file, digest, cache):
    with pytest.raises(ConnectionError, match="302"):
        find_preset(f"{server.url}/to/file://{preset_file}", digest)


def test_a_url_that_is_not_there_is_said(server, digest, cache):
    with pytest.raises(ConnectionError, match="404"):
        find_preset(f"{server.url}/other.npz", digest)


def test_a_path_a_folder_and_a_path_object_are_found(preset_file, tmp_path, monkeypatch, digest):
    folder = tmp_path / "results" / "row"
    write_preset(Preset(INFO, ARRAYS), folder / "preset.npz")
    assert open_preset(str(folder)).name == "small"
    assert find_preset(preset_file, digest) == preset_file
    monkeypatch.chdir(preset_file.parent)
    assert find_preset("small.npz").resolve() == preset_file
    with pytest.raises(ValueError, match="It is another file"):
        find_preset("small.npz", OTHER)


def test_a_folder_of_the_working_directory_does_not_hide_a_name(tmp_path, monkeypatch):
    name = preset_names()[0]
    write_preset(Preset(INFO, ARRAYS), tmp_path / name / "preset.npz")
    monkeypatch.chdir(tmp_path)
    assert open_preset(name).name == name
    assert open_preset(f"./{name}").name == "small"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("omniglot_dem", "Did you mean 'omniglot_demo'"),
        ("../presets/shipped/omniglot_demo", "is none"),
        ("no/such.npz", "is none"),
    ],
)
def test_what_is_not_there_is_said_with_the_names(source, said):
    with pytest.raises(FileNotFoundError, match=said):
        find_preset(source)


def test_a_hash_that_is_none_is_refused(preset_file):
    with pytest.raises(ValueError, match="64 hexadecimal"):
        find_preset(preset_file, "abc")


def test_a_folder_without_a_preset_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tfmeta\.presets --workdir"):
        find_preset(tmp_path)


def test_arrays_come_through(preset_file):
    kernel = open_preset(preset_file).arrays["parameters/head/kernel"]
    np.testing.assert_array_equal(kernel, ARRAYS["parameters/head/kernel"])
