"""Batches on a device: however the inputs lie there, they are the same.

No GPU is needed: what runs on one is device-agnostic, and runs here on the CPU.
"""

import numpy as np
import pytest
import torch
from support.stored_photos import encoded, some_photos, table

from dmlbench.data.batches import device_inputs
from dmlbench.data.batches.device_inputs import to_device_inputs
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.data.photos.encoded import sources
from dmlbench.data.photos.pictures import StoredPhotos
from dmlbench.data.photos.store import PhotoStore, photo_store

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
ARRAYS = RNG.integers(256, size=(7, 3, 12, 15)).astype(np.uint8)
INDEX = np.array([5, 0, 5, 3])
FORMATS = (PhotoFormat(14, 20), PhotoFormat(14, 20, store_side=30))
BOXES = np.array([[0, 0, 12, 12], [1, 2, 9, 7], [3, 1, 4, 11], [2, 2, 10, 5]])


@pytest.fixture(scope="module", params=["colour", "grey", "mixed", "colour, and squares"])
def pictures(tmp_path_factory, request) -> StoredPhotos:
    kind, _, larger = request.param.partition(",")
    channels = {"colour": (3, 3), "grey": (1, 1), "mixed": (1, 3)}[kind]
    photos = [*some_photos(4, 0, channels[0]), *some_photos(4, 1, channels[1])]
    images = sources({"train": table([encoded(photo) for photo in photos])})
    folder = tmp_path_factory.mktemp("cache")
    store, places = photo_store(images, FORMATS[bool(larger)], folder, lambda *_: None)
    return StoredPhotos(store, places, 14)[np.array([7, 2, 2, 0, 1, 6])]


def as_on_a_gpu(pictures: StoredPhotos, *resident: PhotoStore) -> device_inputs._Pictures:
    """Return what a GPU would do with the photos, computed here."""
    device_inputs._resident.cache_clear()
    there = device_inputs._Pictures(pictures, CPU, resident)
    there.at_once = True
    return there


def resident(pictures: StoredPhotos) -> device_inputs._Pictures:
    return as_on_a_gpu(pictures, pictures.store.squares, pictures.store)


def alike(one: torch.Tensor, two: torch.Tensor, kind: str) -> bool:
    """Return whether all differ by rounding alone; noise overshoots the range of a cubic."""
    difference = (one.int() - two).abs().float()
    return bool(difference.max() <= (1 if kind == "bilinear" else 25) and difference.mean() < 0.5)


def test_vectors_and_arrays_are_picked_from_memory():
    vectors = RNG.random((7, 4), dtype=np.float32)
    for inputs in (vectors, ARRAYS):
        there = to_device_inputs(inputs, CPU)
        batch = there.plain(INDEX)
        assert np.array_equal(batch, inputs[INDEX])
        batch[:] = 0
        assert np.array_equal(there.plain(INDEX), inputs[INDEX])
    assert to_device_inputs(vectors, CPU).sizes is None
    assert to_device_inputs(ARRAYS, CPU).seen == (12, 15)


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_crops_of_arrays_are_the_same_at_once_and_one_by_one(kind):
    there = to_device_inputs(ARRAYS, CPU)
    one_by_one = there.crops(INDEX, BOXES, kind)
    there.at_once = True
    at_once = there.crops(INDEX, BOXES, kind)
    assert one_by_one.shape == at_once.shape == (4, 3, 12, 15)
    assert alike(one_by_one, at_once, kind)
    whole = np.tile([0, 0, 12, 15], (4, 1))
    assert np.array_equal(there.crops(INDEX, whole, kind), ARRAYS[INDEX])


def test_photos_on_a_device_are_those_on_disk(pictures, monkeypatch):
    monkeypatch.setattr(device_inputs, "_CHUNK", 333)
    on_disk, there = to_device_inputs(pictures, CPU), resident(pictures)
    assert np.array_equal(on_disk.plain(INDEX), pictures.centre(INDEX))
    assert torch.equal(there.plain(INDEX), on_disk.plain(INDEX))
    assert np.array_equal(there.sizes, on_disk.sizes)
    assert there.seen == on_disk.seen == (14, 14)


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_crops_on_a_device_are_those_on_disk(pictures, kind):
    on_disk, there = to_device_inputs(pictures, CPU), resident(pictures)
    boxes = BOXES.copy()
    found, expected = there.crops(INDEX, boxes, kind), on_disk.crops(INDEX, boxes, kind)
    assert found.dtype == expected.dtype == torch.uint8
    assert found.shape == expected.shape
    assert alike(found, expected, kind)


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    "boxes", [BOXES, BOXES // 2 + (0, 0, 7, 7), BOXES * (1, 1, 0, 0) + (0, 0, 14, 14)]
)
def test_crops_for_a_device_are_the_same_to_the_bit_wherever_the_photos_are(pictures, kind, boxes):
    there = resident(pictures)
    for sent in (as_on_a_gpu(pictures), as_on_a_gpu(pictures, pictures.store.squares)):
        found, expected = sent.crops(INDEX, boxes, kind), there.crops(INDEX, boxes, kind)
        assert torch.equal(found, expected)
        assert found.stride() == expected.stride()
        assert torch.equal(sent.plain(INDEX), there.plain(INDEX))
        assert sent.plain(INDEX).stride() == there.plain(INDEX).stride()


def test_photos_stay_on_disk_if_they_would_take_too_much_of_the_device(pictures, monkeypatch):
    class Cuda:
        type = "cuda"

        def __hash__(self) -> int:
            return 0

    def fit(room: int) -> tuple[PhotoStore, ...]:
        memory = (room + 0.5) / device_inputs.RESIDENT_SHARE
        device_inputs._that_fit.cache_clear()
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (memory, 0))
        return device_inputs._that_fit(pictures.store, Cuda())

    squares, photos = pictures.store.squares, pictures.store
    needed = [
        sum(some.photo(place)[:, :, 0].size for place in range(8)) * photos.channels
        for some in (squares, photos)
    ]
    assert fit(needed[0] - 1) == ()
    on_disk = to_device_inputs(pictures, Cuda())
    assert on_disk.resident == ()
    assert on_disk.threads > 0
    if squares is photos:
        assert fit(needed[0]) == (photos,)
    else:
        assert fit(sum(needed) - 1) == fit(needed[0]) == (squares,)
        assert fit(sum(needed)) == (squares, photos)
        assert device_inputs._Pictures(pictures, Cuda(), (squares,)).threads > 0
    assert device_inputs._Pictures(pictures, Cuda(), (squares, photos)).threads == 0
    fit(sum(needed))
    with device_inputs.photos_stay_on_cpu():
        assert to_device_inputs(pictures, Cuda()).resident == ()


def test_photos_on_a_device_are_dropped_all_at_once(pictures):
    device_inputs._resident(pictures.store, CPU)
    assert device_inputs.drop_resident_photos()
    assert not device_inputs.drop_resident_photos()
