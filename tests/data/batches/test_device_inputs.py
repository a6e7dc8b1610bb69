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
from dmlbench.data.photos.store import photo_store

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
ARRAYS = RNG.integers(256, size=(7, 3, 12, 15)).astype(np.uint8)
INDEX = np.array([5, 0, 5, 3])
BOXES = np.array([[0, 0, 12, 12], [1, 2, 9, 7], [3, 1, 4, 11], [2, 2, 10, 5]])


@pytest.fixture(scope="module", params=["colour", "grey", "mixed"])
def pictures(tmp_path_factory, request) -> StoredPhotos:
    channels = {"colour": (3, 3), "grey": (1, 1), "mixed": (1, 3)}[request.param]
    photos = [*some_photos(4, 0, channels[0]), *some_photos(4, 1, channels[1])]
    images = sources({"train": table([encoded(photo) for photo in photos])})
    folder = tmp_path_factory.mktemp("cache")
    store, places = photo_store(images, PhotoFormat(14, 20), folder, lambda *_: None)
    return StoredPhotos(store, places, 14)[np.array([7, 2, 2, 0, 1, 6])]


def resident(pictures: StoredPhotos) -> device_inputs._ResidentPictures:
    device_inputs._resident.cache_clear()
    return device_inputs._ResidentPictures(pictures, device_inputs._resident(pictures.store, CPU))


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
    sent, there = to_device_inputs(pictures, CPU), resident(pictures)
    sent.at_once = True  # as for a GPU
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

    needed = int(pictures.store.shapes[:, :2].prod(axis=1).sum()) * pictures.store.channels
    device_inputs._resident.cache_clear()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * needed - 1, 0))
    assert device_inputs._resident(pictures.store, Cuda()) is None
    on_disk = to_device_inputs(pictures, Cuda())
    assert isinstance(on_disk, device_inputs._Pictures)
    assert on_disk.threads > 0


def test_photos_on_the_device_are_those_of_one_dataset(tmp_path):
    stores = [
        photo_store(
            sources({"train": table([encoded(photo) for photo in some_photos(2, seed)])}),
            PhotoFormat(14, 20),
            tmp_path / str(seed),
            lambda *_: None,
        )[0]
        for seed in (1, 2)
    ]
    device_inputs.drop_resident_photos()
    for store in stores:
        assert device_inputs._resident(store, CPU) is device_inputs._resident(store, CPU)
        assert device_inputs._resident.cache_info().currsize == 1
    assert device_inputs.drop_resident_photos()
    assert not device_inputs.drop_resident_photos()
