"""The page's files over HTTP: what is served, how it is guarded, and nothing else."""

import http.client
import re

import pytest
import stand_in_server

from tfmeta.serve.demo import routes


@pytest.fixture(scope="module")
def get():
    """`get(path, **headers)` gives (status, headers, body)."""
    with stand_in_server.serving(stand_in_server.StandIn().app) as port:

        def ask(path, **headers):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            result = answer.status, dict(answer.getheaders()), answer.read()
            connection.close()
            return result

        yield ask


def test_the_page_and_each_file_that_it_loads_are_served_with_their_types(get):
    status, headers, page = get("/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.decode())
    _, _, script = get("/page.js")
    loaded += re.findall(r'from "\./([^"]+)"', script.decode())
    assert {"page.css", "icon.svg", "page.js", "strokes.js", "client.js"} <= {*loaded, "strokes.js"}
    types = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
    for name in loaded:
        status, headers, body = get(f"/{name}")
        assert (status, len(body) > 0) == (200, True), name
        assert headers["content-type"] == types.get(name.split(".")[-1], "image/svg+xml")


def test_a_strict_policy_comes_with_every_file(get):
    for path in ("/", "/page.js", "/page.css", "/icon.svg"):
        _, headers, _ = get(path)
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "*" not in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_the_page_has_no_inline_code_and_no_address_of_elsewhere(get):
    _, _, page = get("/")
    text = page.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", text)
    for name in ("/", "/page.js", "/page.css", "/client.js"):
        assert b"//cdn" not in get(name)[2]
        assert not re.search(rb"https?://(?!www\.w3\.org/2000/svg)", get(name)[2])


def test_a_file_that_has_not_changed_is_not_sent_again(get):
    _, headers, _ = get("/strokes.js")
    status, _, body = get("/strokes.js", **{"If-None-Match": headers["etag"]})
    assert (status, body) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/index.html", "/package.json", "/routes.py", "/page/page.js", "/..%2froutes.py"]
)
def test_what_is_not_the_page_is_not_served(get, path):
    assert get(path)[0] == 404


def test_an_installation_without_a_model_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(routes.resources, "files", lambda package: tmp_path)
    with pytest.raises(FileNotFoundError, match="--model_base_path"):
        routes.model_base_path()
