"""Files of presets: what is written is read back, and what a stranger may have made is refused."""

import hashlib
import io
import json
import struct
import zipfile
import zlib

import numpy as np
import pytest

from tests.presets.small_preset import INFO
from tfmeta.presets import Preset, card, read_preset, write_preset

ARRAYS = {
    "parameters/head/kernel": np.float32([[1.5, -2.0], [0.25, 3.0]]),
    "parameters/head/bias": np.float64([1.0]),
    "state/count": np.array(7, np.int64),
}


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), **options)
    return file.getvalue()


def archive(path, entries, compression=zipfile.ZIP_STORED):
    """Writes a zip as `{name: bytes}` says."""
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path


def text(**changes):
    return json.dumps({**INFO, **changes}).encode()


def test_what_is_written_is_read_back_and_numpy_reads_the_arrays(tmp_path):
    path = write_preset(Preset(INFO, ARRAYS), tmp_path / "small.npz")
    found = read_preset(path)
    assert found.info == INFO
    assert found.group("state").keys() == {"count"}
    with np.load(path, allow_pickle=False) as arrays:
        for key, array in ARRAYS.items():
            np.testing.assert_array_equal(found.arrays[key], array)
            np.testing.assert_array_equal(arrays[key], array)
            assert found.arrays[key].dtype == array.dtype


def test_the_same_preset_has_the_same_hash(tmp_path):
    first = read_preset(write_preset(Preset(INFO, ARRAYS), tmp_path / "a.npz"))
    second = read_preset(write_preset(Preset(INFO, ARRAYS), tmp_path / "b.npz"))
    assert first.sha256 == second.sha256
    other = {**ARRAYS, "state/count": np.array(8, np.int64)}
    assert read_preset(write_preset(Preset(INFO, other), tmp_path / "c.npz")).sha256 != first.sha256


def test_fortran_order_is_read_as_it_was_meant(tmp_path):
    array = np.asfortranarray(np.arange(6, dtype="float32").reshape(2, 3))
    path = archive(tmp_path / "f.npz", {"preset.json": text(), "parameters/w.npy": npy(array)})
    np.testing.assert_array_equal(read_preset(path).arrays["parameters/w"], array)


def lying_header(shape):
    """An array of four bytes whose header claims another shape."""
    content = npy(np.float32([1.0]))
    header = content.index(b"(1,)")
    claimed = str(shape).encode()
    padding = len(claimed) - 4
    return content[:header] + claimed + content[header + 4 :].replace(b" " * padding, b"", 1)


def headed(text, version=(1, 0)):
    """An array's file of this header, with four bytes of numbers."""
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text.encode() + bytes(4)


def header(descr="'<f4'", shape="(1,)"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


STRANGE_HEADERS = (
    "{'descr': (",  # no end
    "(" * 300 + "1" + ")" * 300,
    "-" * 9000 + "1",
    header(descr="{}"),
    header(descr="None"),
    header(descr="'<f4', (10**9,)"),
    header(descr="('<f4', (99999999999999999999,))"),
    header(descr="('<f4', -1)"),
    header(descr="[('a', '<f4', 5, 5, 5)]"),
    header(shape="(1L,)"),  # of Python 2
    header(shape="(0, 99999999999999999999)"),
    header(shape="(" + "1, " * 70 + ")"),
    "{1: 2, 'a': 3}",
    "\0",
    "",
)
STRANGE_FILES = (
    *(headed(text) for text in STRANGE_HEADERS),
    headed(header(), version=(3, 0)),
    headed(header(), version=(9, 9)),
    headed(header())[:9],
    headed(header())[:30],
)


STRANGE_NAMES = (
    "../evil.npy",
    "parameters/../../evil.npy",
    "/etc/evil.npy",
    "parameters/a\\b.npy",
    "parameters/C:evil.npy",
    "parameters//a.npy",
    "other/a.npy",
    "parameters/a.py",
    "parameters.npy",
)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        *(({name: npy(np.float32([1.0]))}, "an entry named") for name in STRANGE_NAMES),
        ({"parameters/a.npy": npy(np.array([{}]), allow_pickle=True)}, "of type object"),
        ({"parameters/a.npy": npy(np.array(["text"]))}, "of type <U4"),
        ({"parameters/a.npy": lying_header((10**13,))}, "4 bytes for shape"),
        ({"parameters/a.npy": lying_header((-1,))}, "4 bytes for shape"),
        ({"parameters/a.npy": npy(np.float32([np.nan]))}, "not finite"),
        ({"parameters/a.npy": b"no array"}, "no array"),
        *(({"parameters/a.npy": content}, "parameters/a.npy") for content in STRANGE_FILES),
        ({"preset.json": text(learner=[])}, "learner of another type"),
        ({"preset.json": text(limits="none", license=None)}, "limits, license of another type"),
        ({"preset.json": b"{"}, "no JSON"),
        ({"preset.json": b"[" * 200_000}, "no JSON"),
        ({"preset.json": text(schema_version=2)}, "schema_version 2"),
        ({"preset.json": text(name="../x")}, "the name"),
        ({"preset.json": b'{"schema_version": 1}'}, "without name, learner"),
    ],
)
def test_a_file_that_holds_anything_else_is_refused(tmp_path, entries, said):
    path = archive(tmp_path / "x.npz", {"preset.json": text(), **entries})
    with pytest.raises(ValueError, match=said):
        read_preset(path)


def test_damage_anywhere_is_refused_or_harmless(tmp_path):
    """Bytes of the zip's own records too, which no checksum covers."""
    path = write_preset(Preset(INFO, ARRAYS), tmp_path / "small.npz")
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        content = bytearray(whole)
        for position in rng.integers(len(whole), size=rng.integers(1, 4)):
            content[position] = rng.integers(256)
        path.write_bytes(
            bytes(content[: rng.integers(1, len(whole))] if rng.random() < 0.1 else content)
        )
        try:
            found = read_preset(path)
        except ValueError:
            refused += 1
        else:
            for key, array in found.arrays.items():
                np.testing.assert_array_equal(array, ARRAYS[key])
    assert refused > 200


def test_an_array_without_numbers_is_read_back(tmp_path):
    arrays = {"parameters/w": np.zeros((0, 3), np.float32)}
    path = write_preset(Preset(INFO, arrays), tmp_path / "small.npz")
    assert read_preset(path).arrays["parameters/w"].shape == (0, 3)


def test_the_hash_is_that_of_the_bytes_that_are_read(tmp_path):
    path = write_preset(Preset(INFO, ARRAYS), tmp_path / "small.npz")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_preset(path, digest.upper()).sha256 == digest
    with pytest.raises(ValueError, match=f"sha256 {digest} where {'0' * 64}"):
        read_preset(path, "0" * 64)


def test_a_card_of_a_preset_that_lacks_what_it_says_is_refused():
    with pytest.raises(ValueError, match=r"card needs its evaluation.*'small'.*'protocol'"):
        card(Preset(INFO, ARRAYS))


def test_a_compressed_entry_is_refused_before_it_is_read(tmp_path):
    entries = {"preset.json": text(), "parameters/a.npy": npy(np.zeros(10**6, np.float32))}
    path = archive(tmp_path / "bomb.npz", entries, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10_000
    with pytest.raises(ValueError, match="compressed"):
        read_preset(path)


def test_entries_that_overlap_are_refused(tmp_path):
    """Two names for the same bytes, by which a small file claims to hold much."""
    content = npy(np.zeros(1000, np.float32))
    path = archive(tmp_path / "x.npz", {"preset.json": text(), "parameters/a.npy": content})
    whole = path.read_bytes()
    end = whole.rindex(b"PK\x05\x06")
    start = whole.rindex(b"PK\x01\x02")
    record = whole[start:end]
    copies = b"".join(
        record.replace(b"parameters/a", b"parameters/" + bytes([97 + n])) for n in range(1, 9)
    )
    size, offset = struct.unpack("<II", whole[end + 12 : end + 20])
    tail = bytearray(whole[end:])
    struct.pack_into("<HHII", tail, 8, 10, 10, size + len(copies), offset)
    path.write_bytes(whole[:end] + copies + bytes(tail))
    with pytest.raises(ValueError, match=r"larger than the file|zip"):
        read_preset(path)


@pytest.mark.parametrize("content", [b"", b"not a zip", zlib.compress(b"x")])
def test_what_is_no_zip_is_refused_in_words(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ValueError, match="no whole zip"):
        read_preset(tmp_path / "x.npz")


def test_a_changed_byte_is_found(tmp_path):
    path = write_preset(Preset(INFO, ARRAYS), tmp_path / "small.npz")
    content = bytearray(path.read_bytes())
    position = content.index(np.float32(1.5).tobytes())
    content[position + 3] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="CRC"):
        read_preset(path)


def test_a_file_of_another_ending_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"small\.npz"):
        write_preset(Preset(INFO, ARRAYS), tmp_path / "small.zip")
