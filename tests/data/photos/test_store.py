"""The store of decoded photos: made once, whole or not at all, whoever comes, dies or fills up."""

import multiprocessing
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from support.stored_photos import encoded, files_of, some_photos, table

from dmlbench import DataError
from dmlbench.data.photos import store as module
from dmlbench.data.photos.decoding import PhotoFormat, decode
from dmlbench.data.photos.encoded import sources
from dmlbench.data.photos.store import PhotoStore, photo_store

SPAWN = multiprocessing.get_context("spawn")
PHOTOS = some_photos(12)
FORMAT = PhotoFormat(16, 16)


def made(images, folder: Path, photos: PhotoFormat = FORMAT, told: list | None = None):
    """Return the store of a table of images, and the place of each."""
    told = [] if told is None else told
    found = sources({"train": table(images, [0] * len(images))})
    return photo_store(found, photos, folder, lambda done, total: told.append((done, total)))


def holds(store: PhotoStore, places: np.ndarray, images: list[dict]) -> bool:
    """Return whether the store holds what decoding each image by itself gives."""
    return all(
        np.array_equal(store.photo(place), decode(image["bytes"], "x", FORMAT).pixels)
        for place, image in zip(places, images, strict=True)
    )


ROWS = [encoded(photo) for photo in PHOTOS]


def test_every_photo_is_there_as_decoding_gives_it(tmp_path):
    told: list = []
    store, places = made(ROWS, tmp_path, told=told)
    assert holds(store, places, ROWS)
    assert told == [(done, 12) for done in range(1, 13)]
    assert len(store) == 12
    assert store.channels == 3
    digests = [sha256(row["bytes"]).digest() for row in ROWS]
    assert [store.digests[place].tobytes() for place in places] == digests
    assert not store.pixels.flags.writeable
    assert [path.suffix for path in (tmp_path / "photos").iterdir()] == [".store"]


def test_a_second_call_decodes_nothing(tmp_path, monkeypatch):
    made(ROWS, tmp_path)
    monkeypatch.setattr(module, "decode", None)
    told: list = []
    store, places = made(ROWS, tmp_path, told=told)
    monkeypatch.undo()
    assert holds(store, places, ROWS)
    assert told == []


def test_the_same_photos_in_another_order_or_twice_share_a_store(tmp_path, monkeypatch):
    first, _ = made(ROWS, tmp_path)
    monkeypatch.setattr(module, "decode", None)
    order = [5, 5, 3, 11, 0, 1, 2, 4, 6, 7, 8, 9, 10, 3]
    store, places = made([ROWS[place] for place in order], tmp_path)
    monkeypatch.undo()
    assert store.path == first.path
    assert holds(store, places, [ROWS[place] for place in order])
    assert len(store) == 12


def test_other_photos_or_another_way_to_keep_them_make_another_store(tmp_path):
    paths = files_of(PHOTOS, tmp_path / "files")
    stores = [made(ROWS, tmp_path)[0], made(ROWS[:-1], tmp_path)[0], made(paths, tmp_path)[0]]
    stores += [
        made(ROWS, tmp_path, photos)[0]
        for photos in (PhotoFormat(16, 17), PhotoFormat(16, 16, "bilinear"))
    ]
    Path(paths[0]).write_bytes(ROWS[1]["bytes"])
    changed, places = made(paths, tmp_path)
    assert len({store.path for store in [*stores, changed]}) == 6
    assert holds(changed, places, [ROWS[1], *ROWS[1:]])
    # What is seen of a photo has no say in how it is kept.
    assert made(ROWS, tmp_path, PhotoFormat(8, 16))[0].path == stores[0].path


def test_of_the_versions_only_that_of_the_decoder_is_part_of_the_name(tmp_path, monkeypatch):
    before = made(ROWS, tmp_path)[0].path
    monkeypatch.setattr("torch.__version__", "0.0")
    assert made(ROWS, tmp_path)[0].path == before
    monkeypatch.setattr("PIL.__version__", "0.0")
    assert made(ROWS, tmp_path)[0].path != before


def test_grey_photos_take_one_channel_and_colour_shows_in_the_whole(tmp_path):
    grey = [encoded(photo) for photo in some_photos(3, channels=1)]
    store, _ = made(grey, tmp_path)
    assert store.channels == 1
    store, places = made([*grey, ROWS[0]], tmp_path)
    assert store.channels == 3
    assert store.shapes[places, 2].tolist() == [1, 1, 1, 3]
    assert holds(store, places, [*grey, ROWS[0]])


# What goes wrong


def test_all_damaged_photos_are_named_and_nothing_is_left(tmp_path):
    rows = [*ROWS, *[{"bytes": b"no " + name.encode(), "path": f"{name}.jpg"} for name in "ab"]]
    with pytest.raises(DataError, match=r"2 problems:") as error:
        made([*rows, *ROWS], tmp_path)
    for name in "ab":
        assert f"The image {name}.jpg can't be used: it is not an image" in str(error.value)
    assert os.listdir(tmp_path / "photos") == []


def test_images_that_were_all_replaced_are_decoded_again_though_their_times_are_kept(tmp_path):
    paths = [Path(path) for path in files_of(PHOTOS, tmp_path / "files")]
    times = {path: path.stat().st_mtime_ns for path in paths}
    made(list(map(str, paths)), tmp_path)
    turned = [encoded(photo[::-1])["bytes"] for photo in PHOTOS]
    for path, content in zip(paths, turned, strict=True):
        new = path.with_suffix(".new")
        new.write_bytes(content)
        new.replace(path)
        os.utime(path, ns=(times[path], times[path]))
    store, places = made(list(map(str, paths)), tmp_path)
    assert holds(store, places, [{"bytes": content} for content in turned])


def test_a_store_knows_which_files_have_16_bits_and_which_use_little_of_them(tmp_path):
    ramp = np.arange(256).reshape(16, 16)
    deep = [encoded(pixels.astype(np.uint16)) for pixels in (ramp * 257, ramp * 16)]
    for _ in range(2):  # made, then read
        store, places = made([*deep, ROWS[0]], tmp_path)
        assert store.depths[places].tolist() == [[True, False], [True, True], [False, False]]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[:100],
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: content[1:],
        lambda content: content[:-1] + b"x",
        lambda content: bytes(len(content)),
        lambda content: content[:-300] + bytes(200) + content[-100:],
        lambda content: content[5000:],
    ],
)
def test_a_damaged_store_is_made_again(tmp_path, spoil):
    store, _ = made(ROWS, tmp_path)
    path, content = store.path, store.path.read_bytes()
    del store
    path.write_bytes(spoil(content))
    told: list = []
    store, places = made(ROWS, tmp_path, told=told)
    assert len(told) == 12
    assert holds(store, places, ROWS)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


def test_what_was_mapped_stays_sound_when_its_file_is_made_again(tmp_path):
    store, places = made(ROWS, tmp_path)
    store.path.unlink()
    made(ROWS, tmp_path)
    assert holds(store, places, ROWS)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow larger, as on a disk that is full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("most", [0, 100, 8000, 12000])
def test_a_full_disk_is_named_and_a_second_call_goes_on(tmp_path, most):
    advice = rf"the cache {tmp_path}/photos: .*Choose another folder"
    with pytest.raises(DataError, match=advice), files_of_at_most(most):
        made(ROWS, tmp_path)
    assert os.listdir(tmp_path / "photos") == []
    store, places = made(ROWS, tmp_path)
    assert store.path.stat().st_size > 12000
    assert holds(store, places, ROWS)


# Several processes


def make_together(folder: Path, together, results) -> None:
    told: list = []
    together.wait()
    store, places = made(ROWS, folder, told=told)
    results.put((len(told), store.pixels.tobytes(), places.tolist()))


def test_two_processes_make_one_store(tmp_path):
    together, results = SPAWN.Barrier(2), SPAWN.Queue()
    processes = [
        SPAWN.Process(target=make_together, args=(tmp_path, together, results)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    (told, pixels, places), (also_told, same_pixels, same_places) = results.get(), results.get()
    for process in processes:
        process.join()
    assert sorted([told, also_told]) == [0, 12]
    assert pixels == same_pixels
    assert places == same_places
    assert len(os.listdir(tmp_path / "photos")) == 1


def make_and_stop(folder: Path, at: int) -> None:
    def stop(done: int, total: int) -> None:
        if done == at:
            (folder / "stopped").touch()
            time.sleep(1000)

    photo_store(sources({"train": table(ROWS, [0] * 12)}), FORMAT, folder, stop)


def test_a_killed_process_leaves_nothing_that_a_second_call_would_take(tmp_path):
    process = SPAWN.Process(target=make_and_stop, args=(tmp_path, 7))
    process.start()
    while not (tmp_path / "stopped").exists():
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    assert [path.suffix for path in (tmp_path / "photos").iterdir()] == [".partial"]
    store, places = made(ROWS, tmp_path)
    assert holds(store, places, ROWS)
    assert [path.suffix for path in (tmp_path / "photos").iterdir()] == [".store"]
