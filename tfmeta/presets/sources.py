"""Where presets come from: shipped ones by name, files by path, files by URL with their hash."""

import difflib
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from tfmeta.presets.archive import SUFFIX, Preset, read_preset, wrong_hash
from tfmeta.process.user_cache import cache_directory, write_atomically

IN_FOLDER = f"preset{SUFFIX}"  # of a folder such as results/RECIPE
MOST_BYTES = 2 * 2**30
_SECONDS = 30  # without a byte
_CHUNK = 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")


def preset_names() -> list[str]:
    """Names of the presets that come with tfmeta, sorted.

    Example:

    >>> import tfmeta
    >>> "sinusoid_maml" in tfmeta.presets.preset_names()
    True
    """
    return sorted(path.stem for path in _shipped().glob(f"*{SUFFIX}"))


def open_preset(source: str | os.PathLike, sha256: str | None = None) -> Preset:
    """Reads a preset by name, path or URL.

    Example:

    >>> import tfmeta
    >>> preset = tfmeta.presets.open_preset("sinusoid_maml")
    >>> preset.arrays["parameters/head/bias"].shape
    (1,)

    Args:
        source: as of `find_preset`.
        sha256: of the file, 64 hexadecimal digits; a URL needs it.

    Raises:
        FileNotFoundError: if there is no such preset.
        ValueError: if the hash is another, or lacks for a URL, or the file is not a preset.
    """
    return read_preset(find_preset(source, sha256), sha256)


def find_preset(source: str | os.PathLike, sha256: str | None = None) -> Path:
    """The file of a preset; one of a URL is downloaded once, to `$TFMETA_CACHE_DIR/presets`.

    Args:
        source: a name of `preset_names`; a path, which has a "/" or ends in ".npz", of a preset
            or of a folder that holds preset.npz; or a URL that begins with https:// or http://.
        sha256: of the file, 64 hexadecimal digits; a URL needs it.

    Raises:
        FileNotFoundError: if there is no such preset.
        ConnectionError: if a URL cannot be read.
        ValueError: if the hash is another, or lacks for a URL.
    """
    if sha256 is not None:
        sha256 = _checked_digest(sha256)
    text = os.fspath(source)
    if isinstance(source, str) and "://" in text:
        return _downloaded(text, sha256)
    path = _local(text, is_path=not isinstance(source, str))
    if sha256 is not None and (found := _digest(path)) != sha256:
        raise wrong_hash(str(path), sha256, found)
    return path


def _shipped() -> Path:
    return Path(str(resources.files(__package__))) / "shipped"


def _local(text: str, is_path: bool) -> Path:
    named = _shipped() / f"{text}{SUFFIX}"
    if not is_path and text in preset_names():
        return named
    path = Path(text).expanduser()
    if path.is_dir() and (is_path or _looks_like_path(text)):
        path = path / IN_FOLDER
        if not path.is_file():
            raise FileNotFoundError(
                f"A folder of a preset holds {IN_FOLDER}. Received: {text}, which does not. Of a "
                "run's work directory, tfmeta.restore gives the learner and `python -m "
                "tfmeta.presets --workdir=... --output=...` makes the preset."
            )
    if path.is_file() and (is_path or _looks_like_path(text)):
        return path
    close = difflib.get_close_matches(text, preset_names(), n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise FileNotFoundError(
        f"A preset must be a name, a file or a URL. Received: {text!r}, which is none.{hint} "
        f"Names: {', '.join(preset_names())}. A path has a '/' or ends in {SUFFIX}."
    )


def _looks_like_path(text: str) -> bool:
    return text.endswith(SUFFIX) or any(part in text for part in filter(None, (os.sep, os.altsep)))


def _checked_digest(sha256: str) -> str:
    if not _SHA256.fullmatch(sha256.lower()):
        raise ValueError(
            f"sha256 must be 64 hexadecimal digits. Received: {sha256!r}. `sha256sum FILE` and "
            "`python -m tfmeta.presets` print them."
        )
    return sha256.lower()


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _downloaded(url: str, sha256: str | None) -> Path:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(
            f"A preset's URL must begin with https:// or http://. Received: {url!r}. Give a file's "
            "path without a scheme."
        )
    if sha256 is None:
        raise ValueError(
            "A preset from a URL needs sha256, the hash of its file, since anyone may answer. "
            f"Received: {url!r} without it. Take the hash from whom you have the URL of."
        )
    # By the hash alone: the same file under another URL is no other file.
    path = cache_directory() / "presets" / f"{sha256}{SUFFIX}"
    if path.is_file() and _digest(path) == sha256:
        return path
    write_atomically(path, lambda file: _download(url, sha256, file))
    return path


def _download(url: str, sha256: str, file) -> None:
    """Copies a URL's bytes to a file.

    Raises:
        ConnectionError: if they can't be read.
        ValueError: if their hash is another, or they are too many.
    """
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(url):
        size += len(chunk)
        if size > MOST_BYTES:
            raise ValueError(
                f"A preset from a URL has at most {MOST_BYTES} bytes. Received: more, from "
                f"{url!r}. Download it yourself, and give its path."
            )
        digest.update(chunk)
        file.write(chunk)
    if digest.hexdigest() != sha256:
        raise wrong_hash(url, sha256, digest.hexdigest())


def _chunks(url: str) -> Iterator[bytes]:
    try:
        with _opener().open(url, timeout=_SECONDS) as answer:
            while chunk := answer.read(_CHUNK):
                yield chunk
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = error if isinstance(error, urllib.error.HTTPError) else _reason(error)
        raise ConnectionError(
            f"A preset's URL must be readable. Received: {url!r}: {reason}. Download the file by "
            "other means, and give its path."
        ) from error


def _reason(error: Exception) -> object:
    return getattr(error, "reason", None) or error


def _opener() -> urllib.request.OpenerDirector:
    """Opens http and https alone, wherever a server redirects to."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener
