"""Photos kept larger than what plain squares are cut from: crops of any size come from those."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.image_files import FORMATS, STORED, held_by_a_camera, image_file, smooth
from support.stored_photos import encoded, some_photos, table
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as torchvision

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.data.photos import decoding
from dmlbench.data.photos.crops import RESIZED_DRAWS, resized_boxes
from dmlbench.data.photos.decoding import Decoded, PhotoFormat, decode, quiet_pillow
from dmlbench.data.photos.encoded import sources
from dmlbench.data.photos.pictures import StoredPhotos
from dmlbench.data.photos.store import photo_store
from dmlbench.trials.run_trial import run_trial

SIDE, SHORT = 24, 32
DRAFTED = ("JPEG", "MPO")


def decoded(content: bytes, store_side: int | None, interpolation="bicubic") -> Decoded:
    with quiet_pillow():
        return decode(content, "x", PhotoFormat(SIDE, SHORT, interpolation, store_side))


def resize(pixels: np.ndarray, short_side: int, kind: str = "bicubic") -> np.ndarray:
    """Return torchvision's resize ``[H, W, C]``."""
    picture = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    return (
        torchvision.resize(picture, [short_side], InterpolationMode(kind)).permute(1, 2, 0).numpy()
    )


def centre(pixels: np.ndarray, side: int = SIDE) -> np.ndarray:
    picture = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    return torchvision.center_crop(picture, [side, side]).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("size", [(64, 97), (13, 10), (32, 44), (397, 412)])
def test_plain_squares_are_the_same_to_the_bit_and_photos_are_never_enlarged(
    orientation, kind, size
):
    upright = smooth(*size)
    content = held_by_a_camera(upright, kind, orientation)
    before = centre(decoded(content, None).pixels)
    for store_side in (16, 32, 48, 64, 500):
        found = decoded(content, store_side)
        assert np.array_equal(found.square, before)
        expected = resize(np.asarray(upright), min(*size, store_side))
        assert found.pixels.shape == expected.shape
        difference = np.abs(found.pixels.astype(int) - expected)
        assert difference.max() <= (20 if kind in DRAFTED else 0)


def test_a_photo_of_at_most_the_store_side_keeps_every_pixel():
    for channels in (1, 3):
        for photo in some_photos(4, channels=channels):
            for store_side in (min(photo.shape[:2]), 512):
                assert np.array_equal(decoded(encoded(photo)["bytes"], store_side).pixels, photo)


def test_a_jpeg_is_decoded_once_where_that_serves_both_else_twice(monkeypatch):
    sizes: list[tuple[int, int]] = []
    shown = decoding._grey_or_rgb
    monkeypatch.setattr(
        decoding, "_grey_or_rgb", lambda image, kind: sizes.append(image.size) or shown(image, kind)
    )
    for width, height, store_side, expected in (
        (64, 48, 512, [(64, 48)]),
        (400, 300, 32, [(100, 75)]),
        (400, 300, 37, [(100, 75)]),
        (400, 300, 38, [(100, 75), (200, 150)]),
        (400, 300, 512, [(100, 75), (400, 300)]),
        (1600, 1200, 128, [(200, 150), (400, 300)]),
    ):
        sizes.clear()
        content = image_file(Image.new("RGB", (width, height)), "JPEG")
        assert min(decoded(content, store_side).pixels.shape[:2]) == min(height, store_side)
        assert sizes == expected


def test_a_photo_decoded_in_part_looks_like_one_decoded_whole(monkeypatch):
    content = image_file(smooth(900, 1204), "JPEG", quality=95)
    in_part = decoded(content, 100).pixels.astype(int)
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.draft", lambda *_: None)
    whole = decoded(content, 100).pixels
    assert in_part.shape == whole.shape == (100, 133, 3)
    assert np.abs(in_part - whole).mean() < 1


# The store

PHOTOS = [*some_photos(7), *some_photos(2, channels=1)]
ROWS = [encoded(photo) for photo in PHOTOS]
FORMAT = PhotoFormat(16, 20, "bilinear", store_side=26)


def stored(folder: Path, photos: PhotoFormat = FORMAT, rows: list = ROWS) -> StoredPhotos:
    images = sources({"train": table(rows, [0] * len(rows))})
    store, places = photo_store(images, photos, folder, lambda *_: None)
    return StoredPhotos(store, places, photos.image_size)


def test_a_store_holds_photos_and_squares_and_is_read_again(tmp_path):
    without = stored(tmp_path, PhotoFormat(16, 20, "bilinear"))
    for _ in range(2):  # made, then read
        pictures = stored(tmp_path)
        assert pictures.shape == without.shape == (9, 3, 16, 16)
        assert np.array_equal(pictures.centre(), without.centre())
        assert np.array_equal(pictures.centre(np.array([7, 1])), without.centre(np.array([7, 1])))
        assert np.array_equal(pictures[[8, 2]].centre(), without[[8, 2]].centre())
        assert np.array_equal(pictures.digests, without.digests)
        for place, photo in zip(pictures.places, PHOTOS, strict=True):
            kept = resize(photo, min(*photo.shape[:2], 26), "bilinear")
            assert np.array_equal(pictures.store.photo(place), kept)
        assert pictures.sizes.tolist() == [
            [*pictures.store.photo(place).shape[:2]] for place in pictures.places
        ]
    colours = sum(pictures.store.shapes.prod(axis=1)) + 16 * 16 * (7 * 3 + 2)
    assert len(pictures.store.pixels) == colours


def test_what_decides_squares_and_photos_is_part_of_the_name(tmp_path):
    formats = [
        FORMAT,
        PhotoFormat(16, 20, "bilinear"),
        PhotoFormat(16, 20, "bilinear", store_side=27),
        PhotoFormat(15, 20, "bilinear", store_side=26),
        PhotoFormat(16, 21, "bilinear", store_side=26),
        PhotoFormat(16, 20, "bicubic", store_side=26),
    ]
    assert len({stored(tmp_path, photos).store.path for photos in formats}) == len(formats)


def test_a_store_whose_squares_are_cut_off_is_made_again(tmp_path):
    path = stored(tmp_path).store.path
    content = path.read_bytes()
    path.write_bytes(content[16 * 16 :])
    assert np.array_equal(stored(tmp_path).centre(), stored(tmp_path / "other").centre())
    assert path.read_bytes() == content


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_crops_are_pillows_of_the_photo_with_the_store_side(tmp_path, kind):
    pictures = stored(tmp_path)
    draws = np.random.default_rng(0).random((9, RESIZED_DRAWS))
    boxes = resized_boxes(pictures.sizes, 0.08, 4 / 3, draws)
    assert (boxes[:, 2:].min(axis=1) < 16).any()  # some are enlarged
    assert (boxes[:, 2:].max(axis=1) > 16).any()
    found = pictures.crops(np.arange(9), boxes, kind)
    for crop, photo, (top, left, height, width) in zip(found, PHOTOS, boxes.tolist(), strict=True):
        kept = Image.fromarray(resize(photo, min(*photo.shape[:2], 26), "bilinear").squeeze())
        box = (left, top, left + width, top + height)
        expected = kept.crop(box).resize((16, 16), Image.Resampling[kind.upper()])
        expected = np.asarray(expected).reshape(16, 16, -1).transpose(2, 0, 1)
        assert np.abs(crop.astype(int) - expected).max() <= 1


def zooms(boxes: np.ndarray) -> tuple[float, float]:
    """Return the geometric mean zoom of crops to 224 pixels, and the share that is enlarged."""
    zoom = 224 / np.sqrt(boxes[:, 2:].prod(axis=1))
    return float(np.exp(np.log(zoom).mean())), float((zoom > 1).mean())


@pytest.mark.parametrize(
    ("size", "kept", "zoom", "enlarged"),
    [
        ((375, 500), (375, 500), 1, 0),  # about as CUB-200-2011
        ((480, 640), (480, 640), 1, 0),  # about as Cars196
        ((768, 1024), (512, 682), 1.5, 0.09),
    ],
)
def test_crops_are_enlarged_as_rarely_as_torchvisions_of_the_original(size, kept, zoom, enlarged):
    content = image_file(Image.new("L", size[::-1]))
    found = decode(content, "x", PhotoFormat(224, 256, store_side=512)).pixels.shape[:2]
    assert found == kept
    torch.manual_seed(0)
    picture, rules = torch.empty(1, *size), ([0.08, 1.0], [3 / 4, 4 / 3])
    theirs = zooms(np.array([RandomResizedCrop.get_params(picture, *rules) for _ in range(5000)]))
    draws = np.random.default_rng(0).random((5000, RESIZED_DRAWS))
    ours = zooms(resized_boxes(np.tile(found, (5000, 1)), 0.08, 4 / 3, draws))
    assert ours[0] == pytest.approx(zoom * theirs[0], abs=0.02)
    assert ours[1] == pytest.approx(enlarged + theirs[1], abs=0.02)


# Trials


def test_only_what_is_trained_on_crops_moves(plan_of, tmp_path):
    for place, photo in enumerate(some_photos(24)):
        folder = tmp_path / "pictures" / f"class {place // 4}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{place}.png").write_bytes(encoded(photo)["bytes"])
    workplace = Workplace(Catalogue.discover(), None, torch.device("cpu"), tmp_path)
    crops = {"protocol.augmentation.crop": "random-resized", "protocol.short_side": "10"}
    records = {}
    for settings in (crops, crops | {"protocol.store_side": "32"}):
        plan = plan_of(
            datasets=(f"folder:{tmp_path}/pictures",),
            losses=("triplet",),
            baselines=("pixels", "untrained"),
            settings=settings,
        )
        for trial in plan.trials:
            record = run_trial(trial, workplace)
            assert record.reason == ""
            records.setdefault(trial.label, []).append(record)
    assert len(records) == 3
    for label, (usual, larger) in records.items():
        assert usual.trial.fingerprint == larger.trial.fingerprint
        assert usual.trial.id != larger.trial.id
        assert (usual.epochs == larger.epochs) == (not label.startswith("triplet"))
        if not label.startswith("triplet"):
            assert usual.metrics == larger.metrics
            assert usual.per_query == larger.per_query
