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
    by_bytes = list(sources("train", table(rows)))
    by_path = list(sources("train", table(paths)))
    assert [image.read() for image in by_bytes] == [row["bytes"] for row in rows]
    assert [image.read() for image in by_path] == [row["bytes"] for row in rows]
    assert by_bytes[3].name == "The image number 3 of the split train"
    assert by_path[3].name == f"The image {paths[3]}"
    assert [i.identity for i in by_bytes] == [sha256(row["bytes"]).digest() for row in rows]


def test_bytes_count_before_the_name_that_stands_beside_them():
    named = [{"bytes": encoded(photo)["bytes"], "path": "gone.png"} for photo in PHOTOS]
    found = list(sources("train", table(named)))
    assert [image.read() for image in found] == [row["bytes"] for row in named]
    assert found[0].name == "The image gone.png"


def test_rows_that_were_selected_keep_their_images():
    rows = [encoded(photo) for photo in some_photos(200)]
    order = np.random.default_rng(0).permutation(200)[:150]
    chosen = table(rows, [0] * 200).select(order)
    found = list(sources("test", chosen))
    assert [image.read() for image in found] == [rows[place]["bytes"] for place in order]


def test_a_file_is_another_one_if_its_path_size_or_time_differs(tmp_path):
    first, second = files_of([PHOTOS[0], PHOTOS[0]], tmp_path)

    def identities() -> list[bytes]:
        return [image.identity for image in sources("all", table([first, second, first]))]

    before = identities()
    assert before[0] == before[2] != before[1]
    assert identities() == before
    time = os.stat(first).st_mtime_ns
    os.utime(first, ns=(time, time + 1))
    assert identities()[0] != before[0]
    os.utime(first, ns=(time, time))
    assert identities() == before
    Path(first).write_bytes(Path(first).read_bytes() + b"x")
    os.utime(first, ns=(time, time))
    assert identities()[0] != before[0]


def test_the_same_path_in_other_words_is_the_same_file(tmp_path, monkeypatch):
    (path,) = files_of(PHOTOS[:1], tmp_path)
    monkeypatch.chdir(tmp_path)
    one, two = sources("all", table([path, "0.png"]))
    assert one.identity == two.identity


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match="The image number 1 of the split test is missing"):
        list(sources("test", table([encoded(PHOTOS[0]), None])))
    with pytest.raises(DataError, match=r"gone\.png can't be read: No such file"):
        list(sources("test", table([str(tmp_path / "gone.png")])))
    (path,) = files_of(PHOTOS[:1], tmp_path)
    (image,) = sources("test", table([path]))
    os.unlink(path)
    with pytest.raises(DataError, match=r"0\.png can't be read: No such file"):
        image.read()
