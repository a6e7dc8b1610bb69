"""From photos of every kind to squares of one size."""

from io import BytesIO
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from dmlbench import DataError, PluginError
from dmlbench.data.decoding import decode_images
from dmlbench.data.items import load_data


def as_table(sources: list) -> datasets.Dataset:
    features = datasets.Features(image=datasets.Image())
    return datasets.Dataset.from_dict({"image": sources}, features=features)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> dict:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return {"bytes": buffer.getvalue(), "path": None}


def grey(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels.astype(np.uint8))


RAMP = np.tile(np.arange(0, 240, 20), (12, 1))
COLOUR = Image.fromarray(np.stack([RAMP, RAMP.T, np.full((12, 12), 90)], -1).astype(np.uint8))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((4, 6), (1, 4, 6)), ((4, 6, 1), (1, 4, 6)), ((4, 6, 3), (3, 4, 6))],
)
def test_arrays_stay_as_they_are(shape, expected):
    pixels = np.random.default_rng(0).integers(256, size=(3, *shape)).astype(np.uint8)
    feature = (datasets.Array2D if len(shape) == 2 else datasets.Array3D)(shape, "uint8")
    table = datasets.Dataset.from_dict(
        {"image": list(pixels)}, features=datasets.Features(image=feature)
    )
    found = decode_images(table, 99)
    assert found.shape == (3, *expected)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    for n, c, y, x in np.ndindex(found.shape):
        assert found[n, c, y, x] == pixels[n, y, x].reshape(-1)[c]


def test_arrays_must_be_bytes():
    table = datasets.Dataset.from_dict(
        {"image": [np.zeros((2, 2), np.float32)]},
        features=datasets.Features(image=datasets.Array2D((2, 2), "float32")),
    )
    with pytest.raises(PluginError, match="must be uint8, not float32"):
        decode_images(table, 8)


def test_other_columns_are_no_images():
    table = datasets.Dataset.from_dict({"image": ["a.png"]})
    with pytest.raises(PluginError, match="column 'image' holds"):
        decode_images(table, 8)


def test_photos_of_the_right_size_keep_every_pixel():
    found = decode_images(as_table([encoded(COLOUR)]), 12)
    assert np.array_equal(found[0], np.asarray(COLOUR).transpose(2, 0, 1))


def test_grey_photos_have_one_channel_unless_one_of_them_has_colour():
    photo = encoded(grey(RAMP))
    assert decode_images(as_table([photo, photo]), 12).shape == (2, 1, 12, 12)
    mixed = decode_images(as_table([photo, encoded(COLOUR)]), 12)
    assert mixed.shape == (2, 3, 12, 12)
    for channel in range(3):
        assert np.array_equal(mixed[0, channel], RAMP)


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3), ("CMYK", 3), ("YCbCr", 3)],
)
def test_every_mode_of_a_photo_is_read(mode, channels):
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    found = decode_images(as_table([encoded(COLOUR.convert(mode), kind)]), 8)
    assert found.shape == (1, channels, 8, 8)
    assert found.std() > 10


def test_sixteen_bits_are_scaled_and_not_cut_off():
    deep = Image.fromarray((RAMP * 257).astype(np.uint16))
    assert deep.mode.startswith("I;16")
    assert np.array_equal(decode_images(as_table([encoded(deep)]), 12)[0, 0], RAMP)


@pytest.mark.parametrize("size", [(40, 20), (20, 40), (14, 12), (20, 21)])
def test_the_middle_square_is_kept(size):
    width, height = size
    short = min(size)
    pixels = np.zeros((height, width, 3))
    top, left = (height - short) // 2, (width - short) // 2
    pixels[top : top + short, left : left + short] = (200, 100, 50)
    found = decode_images(as_table([encoded(grey(pixels))]), 10)
    assert found.shape == (1, 3, 10, 10)
    inside = found[0, :, 2:-2, 2:-2].reshape(3, -1).T
    assert (inside == (200, 100, 50)).all()


def test_a_camera_held_on_its_side_is_set_upright():
    upright = np.asarray(COLOUR)
    for orientation, undo in {
        3: lambda a: np.rot90(a, 2),
        6: lambda a: np.rot90(a, -1),
        8: lambda a: np.rot90(a, 1),
    }.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = Image.fromarray(upright)
        found = decode_images(as_table([encoded(stored, "PNG", exif=exif)]), 12)
        assert np.array_equal(found[0].transpose(1, 2, 0), undo(upright)), orientation


def test_files_are_read_where_they_lie(tmp_path):
    path = tmp_path / "photo.png"
    COLOUR.save(path)
    found = decode_images(as_table([str(path)]), 12)
    assert np.array_equal(found[0], np.asarray(COLOUR).transpose(2, 0, 1))


@pytest.mark.parametrize("spoil", ["cut", "empty", "text", "gone"])
def test_a_photo_that_can_not_be_decoded_is_named(tmp_path, spoil):
    path = tmp_path / "spoilt.png"
    COLOUR.save(path)
    if spoil == "gone":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes({"cut": content[:-60], "empty": b"", "text": b"no image"}[spoil])
    with pytest.raises(DataError, match=r"spoilt\.png is damaged"):
        decode_images(as_table([str(path)]), 12)


def test_a_photo_without_a_name_is_named_by_its_place():
    spoilt = {"bytes": encoded(COLOUR)["bytes"][:-60], "path": None}
    with pytest.raises(DataError, match="The image number 1 is damaged"):
        decode_images(as_table([encoded(COLOUR), spoilt]), 12)
    with pytest.raises(DataError, match="Item 1 of the dataset has no image"):
        decode_images(as_table([encoded(COLOUR), None]), 12)


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    path = tmp_path / "bomb.png"
    COLOUR.save(path)
    with pytest.raises(DataError, match=r"bomb\.png is damaged"):
        decode_images(as_table([str(path)]), 12)


def test_colour_in_one_split_makes_colour_of_the_other(tmp_path):
    from dmlbench import Dataset

    def split(image: Image.Image, labels: list[int]) -> datasets.Dataset:
        return datasets.Dataset.from_dict(
            {"image": [encoded(image)] * 4, "label": labels},
            features=datasets.Features(
                image=datasets.Image(), label=datasets.ClassLabel(names=list("abcd"))
            ),
        )

    class Photos(Dataset):
        def load(self, data_dir: Path | None):
            return {"train": split(grey(RAMP), [0, 0, 1, 1]), "test": split(COLOUR, [2, 2, 3, 3])}

    data = load_data(Photos(), None, 12)
    assert data.splits["train"].inputs.shape == data.splits["test"].inputs.shape == (4, 3, 12, 12)
    assert (data.splits["train"].inputs == RAMP).all()
