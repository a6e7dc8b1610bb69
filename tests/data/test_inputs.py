"""Photos of all splits from their files to the network, in bounded memory."""

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import datasets
import numpy as np
import pytest
from support.stored_photos import encoded, files_of, some_photos, table

from dmlbench import ConfigError, DataError, Dataset, PluginError
from dmlbench.components.catalogue import Catalogue
from dmlbench.data.items import BLOCK, Items, load_data
from dmlbench.data.photos import store
from dmlbench.data.photos.decoding import PhotoFormat, decode
from dmlbench.data.photos.pictures import StoredPhotos
from dmlbench.schemas.protocol_file import load_protocol

PHOTOS = some_photos(8)
TRAIN, TEST = [0, 0, 1, 1], [2, 2, 3, 3]


class Given(Dataset):
    """The splits that a test gives it."""

    def __init__(self, train: list, test: list) -> None:
        self.splits = {"train": table(train, TRAIN), "test": table(test, TEST)}

    def load(self, data_dir):
        return self.splits


def rows(photos: list[np.ndarray]) -> list[dict]:
    return [encoded(photo) for photo in photos]


LARGER = PhotoFormat(12, 14, store_side=30)
SOUND = Given(rows(PHOTOS[:4]), rows(PHOTOS[4:]))


def test_photos_of_all_splits_lie_in_one_store(tmp_path):
    told: list = []
    data = load_data(
        SOUND, None, PhotoFormat(12, 16), cache_dir=tmp_path, on_progress=lambda *n: told.append(n)
    )
    assert told[-1] == (8, 8)
    inputs = {name: items.inputs for name, items in data.splits.items()}
    assert inputs["train"].store is inputs["test"].store
    assert [path.parent for path in tmp_path.rglob("*.store")] == [tmp_path / "photos"]
    for name, photos in (("train", PHOTOS[:4]), ("test", PHOTOS[4:])):
        for place, photo in enumerate(photos):
            found = inputs[name].store.photo(inputs[name].places[place])
            content = encoded(photo)["bytes"]
            assert np.array_equal(found, decode(content, "x", PhotoFormat(12, 16)).pixels)
        assert inputs[name].shape == (4, 3, 12, 12)


def test_what_a_protocol_says_of_photos_is_what_is_loaded():
    protocol = load_protocol("small").change("short_side", "72").change("interpolation", "bilinear")
    assert PhotoFormat.of(protocol) == PhotoFormat(64, 72, "bilinear")
    larger = protocol.change("store_side", "512")
    for crop in ("centre", "random"):
        assert PhotoFormat.of(larger.change("augmentation.crop", crop)) == PhotoFormat.of(protocol)
    cropped = larger.change("augmentation.crop", "random-resized")
    assert PhotoFormat.of(cropped) == PhotoFormat(64, 72, "bilinear", store_side=512)
    frozen = cropped.change("tuning", "frozen")
    assert PhotoFormat.of(frozen) == PhotoFormat.of(protocol)


def test_colour_in_one_split_makes_colour_of_the_other():
    grey = some_photos(4, channels=1)
    data = load_data(Given(rows(grey), rows(PHOTOS[4:])), None, 12)
    train = data.splits["train"].inputs
    assert train.shape == data.splits["test"].inputs.shape == (4, 3, 12, 12)
    assert (train.centre() == train.centre()[:, :1]).all()
    both = load_data(Given(rows(grey), rows(grey)), None, 12)
    assert both.splits["train"].inputs.shape == (4, 1, 12, 12)


def test_flat_rows_of_photos_are_their_middle_squares():
    items = load_data(SOUND, None, 12).splits["test"]
    expected = items.inputs.centre().reshape(4, -1).astype(np.float32) / 255
    assert np.array_equal(items.flat(), expected)
    larger, usual = (
        load_data(SOUND, None, photos).splits["test"] for photos in (LARGER, PhotoFormat(12, 14))
    )
    assert np.array_equal(larger.flat(), usual.flat())
    assert (larger.inputs.sizes > usual.inputs.sizes).any()


def test_blocks_of_photos_are_small_and_in_order():
    items = load_data(SOUND, None, 12).splits["test"]
    many = items[np.arange(2 * BLOCK + 5) % 4]
    blocks = list(many.blocks())
    assert [len(block) for block in blocks] == [BLOCK, BLOCK, 5]
    assert np.array_equal(np.concatenate([b.inputs.places for b in blocks]), many.inputs.places)
    arrays = Items(np.zeros((2000, 1, 2, 2), np.uint8), np.zeros(2000))
    assert list(arrays.blocks()) == [arrays]


# The fingerprint


def test_the_fingerprint_is_of_the_files_and_not_of_how_they_are_kept(tmp_path):
    known = load_data(SOUND, None, 12).fingerprint
    for photos in (PhotoFormat(8, 12), PhotoFormat(12, 20, "bilinear"), LARGER):
        assert load_data(SOUND, None, photos).fingerprint == known
    paths = files_of(PHOTOS, tmp_path)
    assert load_data(Given(paths[:4], paths[4:]), None, 12).fingerprint == known
    Path(paths[0]).write_bytes(encoded(PHOTOS[0], "TIFF")["bytes"])  # the same pixels
    assert load_data(Given(paths[:4], paths[4:]), None, 12).fingerprint != known


def test_the_fingerprint_follows_order_and_split():
    one, two = rows(PHOTOS[:4]), rows(PHOTOS[4:])
    prints = [
        load_data(Given(*splits), None, 12).fingerprint
        for splits in ((one, two), (two, one), (one[::-1], two), (one, two[1:] + two[:1]))
    ]
    assert len(set(prints)) == 4


def test_the_fingerprint_of_arrays_is_that_of_published_tables():
    _, glyphs = Catalogue.discover().load("dataset", "glyphs")
    assert load_data(glyphs(), None, 64).fingerprint == "affd46c7686304d9"


# What is refused


def test_squares_larger_than_the_photos_are_refused():
    with pytest.raises(ConfigError, match=r"Squares of 13 .* 12: set protocol\.short_side"):
        load_data(SOUND, None, PhotoFormat(13, 12))


def test_splits_of_files_and_of_arrays_do_not_mix():
    features = datasets.Features(
        image=datasets.Array2D((4, 4), "uint8"), label=datasets.ClassLabel(names=list("abcdefgh"))
    )
    arrays = {"image": [np.zeros((4, 4), np.uint8)] * 4, "label": TEST}
    mixed = Given(rows(PHOTOS[:4]), rows(PHOTOS[4:]))
    mixed.splits["test"] = datasets.Dataset.from_dict(arrays, features=features)
    with pytest.raises(PluginError, match="some splits have image files, others arrays"):
        load_data(mixed, None, 12)


def test_counts_are_checked_before_anything_is_decoded(tmp_path):
    wrong = Given([{"bytes": b"no image", "path": None}] * 4, rows(PHOTOS[4:]))
    wrong.expected = {"train": (5, 2)}
    with pytest.raises(DataError, match="train has 4 items"):
        load_data(wrong, None, 12, cache_dir=tmp_path)
    wrong.expected = {}
    with pytest.raises(
        DataError, match="number 0 of the split train can't be used: it is not an image"
    ):
        load_data(wrong, None, 12, cache_dir=tmp_path)


# Memory

WALK = """
import json, resource, sys
from pathlib import Path

import numpy as np
import torch

from dmlbench import Backbone, ImageFormat
from dmlbench.data.items import Items
from dmlbench.data.batches.feed import Feed
from dmlbench.data.photos.pictures import StoredPhotos
from dmlbench.data.batches.device_inputs import to_device_inputs
from dmlbench.data.photos.store import _read
from dmlbench.training.embedder import Embedder, embed
from dmlbench.schemas.protocol import Augmentation

class Mean(Backbone):
    def build(self, shape):
        network = torch.nn.Sequential(torch.nn.AvgPool2d(shape[1]), torch.nn.Flatten())
        network.num_features = shape[0]
        return network

def memory(field):
    text = Path("/proc/self/status").read_text()
    return int(text.split(field + ":")[1].split()[0]) * 1024

torch.set_num_threads(1)
device = torch.device("cpu")
photos, some = int(sys.argv[2]), int(sys.argv[3])
torch.zeros(10, requires_grad=True).sum().backward()
# What a process may allocate; files that are mapped for reading do not count.
most = memory("VmData") + 2**28
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
before = memory("RssAnon")
store = _read(photos, Path(sys.argv[1]))
items = Items(StoredPhotos(store, np.arange(photos), 224), np.arange(photos))
part = items[np.linspace(0, photos - 1, some).astype(int)]
model = Embedder(Mean(), items, 2)
embedded = embed(model, part, device)
flat = sum(float(block.flat()[:, 0].sum()) for block in items[np.arange(some)].blocks())
inputs = to_device_inputs(items.inputs, device)
augmentation = Augmentation(crop="random-resized", shift=0, flip=True)
feed = Feed(inputs, augmentation, "bilinear", (0, 3), threads=2)
batches = [np.random.default_rng(k).integers(photos, size=32) for k in range(some // 32)]
fed = sum(len(batch) for batch in feed.batches(1, batches))
print(json.dumps({"size": Path(sys.argv[1]).stat().st_size, "grown": memory("RssAnon") - before,
                  "embedded": len(embedded), "fed": fed}))
"""


def sparse_store(path: Path, photos: int, shape: tuple[int, int, int]) -> None:
    """Write a store of black photos that takes hardly any room on the disk."""
    index = BytesIO()
    nothing = np.zeros((photos, 32), np.uint8)
    shapes = np.tile(shape, (photos, 1))
    depths = np.zeros((photos, 2), dtype=bool)
    np.savez(index, shapes=shapes, digests=nothing, identities=nothing, depths=depths)
    size = photos * int(np.prod(shape))
    with path.open("wb") as file:
        file.seek(size)
        file.write(index.getvalue())
        file.write(store._TRAILER.pack(size, len(index.getvalue()), store._MAGIC))


def test_a_store_larger_than_the_memory_is_never_read_as_a_whole(tmp_path):
    path = tmp_path / "sparse.store"
    sparse_store(path, 120_053, (256, 341, 3))  # as many photos as Stanford Online Products has
    command = [sys.executable, "-W", "error", "-c", WALK, str(path), "120053", "256"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["size"] > 29 * 2**30
    assert (found["embedded"], found["fed"]) == (256, 256)
    assert found["grown"] < 2**28


def test_a_part_of_photos_is_told_by_places_alone():
    items = load_data(SOUND, None, 12).splits["train"]
    part = items[np.array([3, 1])]
    assert isinstance(part.inputs, StoredPhotos)
    assert part.inputs.places.tolist() == items.inputs.places[[3, 1]].tolist()
