"""Files that strangers wrote: whatever they are, one sentence, no wait, and bounded memory."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmlbench import ConfigError, DataError
from dmlbench.components.file_hashes import file_hashes
from dmlbench.data.photos.encoded import EncodedPhotos
from dmlbench.errors import DmlbenchError
from dmlbench.reading import MOST_TEXT, parse_json, parse_toml, read_bytes, read_text
from dmlbench.retrieval.embedding_files import read_sets
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.suite import load_suite
from dmlbench.storage.record_store import MOST_BYTES, read_record

READERS: dict[str, Callable[[Path], object]] = {
    "protocol.toml": load_protocol,
    "suite.toml": load_suite,
    "record.json": read_record,
    "items.npy": read_sets,
    "items.npz": read_sets,
    "items.safetensors": read_sets,
    "items.parquet": read_sets,
    "weights.pt": lambda path: file_hashes({"weights": path}),
    "photo.png": lambda path: EncodedPhotos(b"", "The photo", str(path)).read(),
}


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)  # the system's limit for the path of a socket is 108 characters
        server.bind(path.name)


KINDS: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a named pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a socket": a_socket,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, name, kind):
    KINDS[kind](tmp_path / name)
    with pytest.raises(DmlbenchError, match=rf"{name} can't be read: it is {kind}, not a regular"):
        READERS[name](tmp_path / name)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("path", ["missing/{}", "nul\0/{}", "\ud800/{}", "x" * 300 + "/{}"])
def test_a_name_that_leads_nowhere_is_refused(tmp_path, name, path):
    with pytest.raises(DmlbenchError, match="can't be"):
        READERS[name](tmp_path / path.format(name))


@pytest.mark.parametrize(
    ("name", "most"),
    [("protocol.toml", MOST_TEXT), ("suite.toml", MOST_TEXT), ("record.json", MOST_BYTES)],
)
def test_a_file_that_is_far_too_large_is_not_read(tmp_path, name, most):
    with (tmp_path / name).open("wb") as file:
        file.truncate(1 << 40)  # more than any memory, and takes no room on the disk
    with pytest.raises(DmlbenchError, match=f"at most {most:,} are read"):
        READERS[name](tmp_path / name)


def test_a_file_is_read_up_to_its_limit_and_no_further(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(DataError, match="has 5 bytes, and at most 4 are read"):
        read_bytes(path, 4)
    assert read_bytes(Path("/proc/self/status"), 1 << 16)  # which says that it has 0
    with pytest.raises(DataError, match="at most 10 are read"):
        read_bytes(Path("/proc/self/status"), 10)


def test_what_is_no_utf_8_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"caf\xe9")
    with pytest.raises(ConfigError, match=r"file is not UTF-8 text: .* position 3"):
        read_text(tmp_path / "file", error=ConfigError)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = " + 5000 * "[" + 5000 * "]", "more than 64 deep"),
        ("x = " + 70 * "[" + 70 * "]", "more than 64 deep"),
        ("x = " + 5000 * "{a=" + "1" + 5000 * "}", "more than 64 deep"),
        (100_000 * "a." + "b = 1", "more than 64 deep"),
        (100_000 * '"a" . ' + "b = 1", "more than 64 deep"),
        ("[" + 100_000 * "a." + "b]", "more than 64 deep"),
        ("x = " + 5000 * "9", "4300 digits"),
        ("x = [" + 400 * "9" + "]", "more than 64 bits"),
        ("x = 9223372036854775808", "more than 64 bits"),
        (f"x = '{10_001 * 'y'}'", "more than 10,000 characters"),
        (10_001 * "y" + " = 1", "more than 10,000 characters"),
        ('x = "\\ud800"', "not a TOML file"),
        ("x = \0", "not a TOML file"),
        ("x = 2026-99-01", "not a TOML file"),
    ],
    ids=lambda value: value[:20],
)
def test_toml_that_would_harm_a_parser_is_refused(text, reason):
    with pytest.raises(ConfigError, match=reason) as caught:
        parse_toml(text, "mine.toml")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[" * 70 + "]" * 70, '{"a":' * 5000, "9" * 5000, "9" * 30, "\x00", ""]
)
def test_json_that_would_harm_a_parser_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - of json, or of ours
        parse_json(text)


VALUES = st.recursive(
    st.integers(-(1 << 63), (1 << 63) - 1) | st.text(max_size=5) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


@given(VALUES)
def test_other_json_is_read_as_json_reads_it(value):
    import json

    assert parse_json(json.dumps(value)) == value
