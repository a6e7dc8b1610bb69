"""Encoded images of a table: what tells them apart, and what is missing."""

import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from support.stored_photos import encoded, files_of, some_photos, table

from dmlbench import DataError
from dmlbench.data.photos.encoded import sources

PHOTOS = some_photos(5)


def test_files_and_bytes_are_read_as_they_are(tmp_path):
    rows = [encoded(photo) for photo in PHOTOS]
    paths = files_of(PHOTOS, tmp_path)
    by_bytes = sources({"train": table(rows)})
    by_path = sources({"train": table(paths)})
    assert [image.read() for image in by_bytes] == [row["bytes"] for row in rows]
    assert [image.read() for image in by_path] == [row["bytes"] for row in rows]
    assert by_bytes[3].name == "The image number 3 of the split train"
    assert by_path[3].name == f"The image {paths[3]}"
    assert [i.identity for i in by_bytes] == [sha256(row["bytes"]).digest() for row in rows]


def test_bytes_count_before_the_name_that_stands_beside_them():
    named = [{"bytes": encoded(photo)["bytes"], "path": "gone.png"} for photo in PHOTOS]
    found = sources({"train": table(named)})
    assert [image.read() for image in found] == [row["bytes"] for row in named]
    assert found[0].name == "The image gone.png"


def test_rows_that_were_selected_keep_their_images():
    rows = [encoded(photo) for photo in some_photos(200)]
    order = np.random.default_rng(0).permutation(200)[:150]
    chosen = table(rows, [0] * 200).select(order)
    found = sources({"test": chosen})
    assert [image.read() for image in found] == [rows[place]["bytes"] for place in order]


def identities(*paths: str) -> list[bytes]:
    return [image.identity for image in sources({"all": table(list(paths))})]


def test_a_file_is_the_same_until_it_changes(tmp_path):
    first, second = files_of([PHOTOS[0], PHOTOS[0]], tmp_path)
    before = identities(first, second, first)
    assert before[0] == before[2] != before[1]
    assert identities(first, second, first) == before


def rewritten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[::-1])


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes()[::-1])
    other.replace(path)


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


@pytest.mark.parametrize("change", [rewritten, replaced, longer])
def test_a_file_with_other_content_is_another_whatever_its_time_says(tmp_path, change):
    (name,) = files_of(PHOTOS[:1], tmp_path)
    path, before = Path(name), identities(name)
    stat = path.stat()
    while path.stat().st_ctime_ns == stat.st_ctime_ns:  # clocks of file systems may be coarse
        change(path)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_mtime_ns == stat.st_mtime_ns
    assert identities(name) != before


def test_the_same_path_in_other_words_is_the_same_file(tmp_path, monkeypatch):
    (path,) = files_of(PHOTOS[:1], tmp_path)
    monkeypatch.chdir(tmp_path)
    one, two = sources({"all": table([path, "0.png"])})
    assert one.identity == two.identity


def test_all_that_is_missing_is_named_at_once(tmp_path):
    gone = [str(tmp_path / f"{name}.png") for name in "abc"]
    train = table([gone[0], encoded(PHOTOS[0]), gone[1]])
    with pytest.raises(DataError, match="4 problems") as error:
        sources({"train": train, "test": table([None, gone[2]])})
    for name in (*gone, "The image number 0 of the split test"):
        assert name in str(error.value)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match="The image number 1 of the split test is missing"):
        sources({"test": table([encoded(PHOTOS[0]), None])})
    with pytest.raises(DataError, match=r"gone\.png can't be read: No such file"):
        sources({"test": table([str(tmp_path / "gone.png")])})
    (path,) = files_of(PHOTOS[:1], tmp_path)
    (image,) = sources({"test": table([path])})
    os.unlink(path)
    with pytest.raises(DataError, match=r"0\.png can't be read: No such file"):
        image.read()
