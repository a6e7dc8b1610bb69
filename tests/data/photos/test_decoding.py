"""From image files of every kind to pixels of one size."""

import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.image_files import FORMATS, STORED, held_by_a_camera, smooth
from support.image_files import image_file as encoded
from torchvision.transforms.v2 import functional as torchvision

from dmlbench import DataError
from dmlbench.data.photos import decoding
from dmlbench.data.photos.decoding import PhotoFormat, decode, quiet_pillow

RAMP = np.tile(np.arange(0, 240, 20), (12, 1)).astype(np.uint8)
COLOUR = Image.fromarray(np.stack([RAMP, RAMP.T, np.full((12, 12), 90, np.uint8)], -1))


def decoded(content: bytes, side: int = 12, interpolation="bicubic") -> np.ndarray:
    with quiet_pillow():
        return decode(content, "The image x.png", PhotoFormat(side, side, interpolation)).pixels


# Kinds of images


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3), ("CMYK", 3), ("YCbCr", 3)],
)
def test_every_mode_of_a_photo_is_read(mode, channels):
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    found = decoded(encoded(COLOUR.convert(mode), kind), 8)
    assert found.shape == (8, 8, channels)
    assert found.dtype == np.uint8
    assert found.std() > 10


def test_photos_of_the_right_size_keep_every_pixel():
    assert np.array_equal(decoded(encoded(COLOUR)), np.asarray(COLOUR))


def test_sixteen_bits_are_scaled_and_not_cut_off():
    deep = Image.fromarray(RAMP.astype(np.uint16) * 257)
    assert deep.mode.startswith("I;16")
    assert np.array_equal(decoded(encoded(deep))[:, :, 0], RAMP)


def test_sixteen_bits_of_which_little_is_used_are_told_from_others():
    def facts(pixels, kind="PNG"):
        with quiet_pillow():
            return decode(encoded(Image.fromarray(pixels), kind), "x", PhotoFormat(12, 12)).depth

    twelve_bits = RAMP.astype(np.uint16) * 17  # up to 3,740 of 65,535
    for kind in ("PNG", "TIFF"):
        assert facts(RAMP.astype(np.uint16) * 257, kind) == (True, False)
        assert facts(twelve_bits, kind) == (True, True)
        assert facts(twelve_bits + np.uint16(40_000), kind) == (True, True)
        assert facts(RAMP // 16, kind) == (False, False)


def test_sixteen_bits_of_colour_are_known_though_pillow_makes_eight_of_them():
    def png(scale: int) -> bytes:
        """Return a PNG of 2 x 2 pixels in 16-bit colour, written by hand."""

        def chunk(name: bytes, content: bytes) -> bytes:
            check = zlib.crc32(name + content)
            return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

        header = struct.pack(">2I5B", 2, 2, 16, 2, 0, 0, 0)
        rows = b"".join(b"\0" + struct.pack(">6H", *(scale * n for n in range(6))) for _ in "ab")
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*parts) for parts in chunks)

    with quiet_pillow():
        assert decode(png(13_107), "x", PhotoFormat(2, 2)).depth == (True, False)
        assert decode(png(819), "x", PhotoFormat(2, 2)).depth == (True, True)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [(RAMP / np.float32(255), "floats"), (RAMP.astype(np.int32) * 1000, "32-bit integers")],
)
def test_numbers_without_a_scale_are_refused(pixels, reason):
    with pytest.raises(
        DataError, match=rf"The image x\.png can't be used: its pixels are {reason}"
    ):
        decoded(encoded(Image.fromarray(pixels), "TIFF"))


def test_what_is_transparent_lies_on_white():
    pixels = np.dstack([np.asarray(COLOUR), np.full((12, 12), 255, np.uint8)])
    pixels[3:9, 3:9, 3] = 0
    pixels[0, :, 3] = 51
    expected = np.asarray(COLOUR).astype(float)
    expected[3:9, 3:9] = 255
    expected[0] = 0.2 * expected[0] + 0.8 * 255
    assert np.abs(decoded(encoded(Image.fromarray(pixels))) - expected).max() <= 1


def test_a_palette_with_transparent_entries_lies_on_white():
    drawn = Image.new("P", (12, 12), 0)
    drawn.putpalette([10, 20, 30, 40, 50, 60])
    drawn.paste(1, (0, 0, 12, 6))
    found = decoded(encoded(drawn, transparency=bytes([0, 255])))
    assert (found[:6] == (40, 50, 60)).all()
    assert (found[6:] == 255).all()


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("size", "found_size"),
    [
        ((64, 96), (32, 48)),  # resized
        ((20, 20), (32, 32)),  # square, resized up
        ((32, 44), (32, 44)),  # kept as it is
        ((397, 801), (32, 64)),  # of a JPEG, a quarter is decoded
        ((803, 800), (32, 32)),  # and an eighth, which is square
    ],
)
def test_a_camera_held_on_its_side_is_set_upright(orientation, kind, size, found_size):
    upright = smooth(*size)
    found = decoded(held_by_a_camera(upright, kind, orientation), 32)
    assert found.shape == (*found_size, 3)
    plain = decoded(encoded(upright, "PNG"), 32)
    assert np.abs(found.astype(int) - plain).max() <= (20 if kind in ("JPEG", "MPO") else 0)


# Sizes


@given(st.integers(1, 300), st.integers(1, 300), st.integers(4, 64))
@settings(max_examples=40, deadline=None)
def test_the_short_side_is_as_wanted_and_the_aspect_is_kept(width, height, side):
    found = decoded(encoded(Image.new("L", (width, height), 77)), side)
    short, long = sorted((width, height))
    assert min(found.shape[:2]) == side
    assert max(found.shape[:2]) == side * long // short
    assert (found.shape[0] <= found.shape[1]) == (height <= width) or found.shape[0] == side
    assert (found == 77).all()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(90, 130), (20, 33)])
def test_resizing_is_that_of_torchvision(interpolation, size):
    picture = smooth(*size)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    expected = torchvision.resize(pixels, [40], torchvision.InterpolationMode(interpolation))
    found = decoded(encoded(picture), 40, interpolation)
    assert np.array_equal(found, expected.permute(1, 2, 0).numpy())


def test_a_large_jpeg_decoded_in_part_looks_like_one_decoded_whole(monkeypatch):
    picture = encoded(smooth(900, 1204), "JPEG", quality=95)
    in_part = decoded(picture, 100).astype(int)
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.draft", lambda *_: None)
    whole = decoded(picture, 100)
    assert in_part.shape == whole.shape == (100, 133, 3)
    assert np.abs(in_part - whole).mean() < 1
    assert np.abs(in_part - whole).max() <= 10


def test_a_jpeg_is_never_decoded_to_less_than_twice_its_size(monkeypatch):
    sizes = []
    monkeypatch.setattr(
        decoding,
        "_grey_or_rgb",
        lambda image, kind: sizes.append(image.size) or image.convert("RGB"),
    )
    for width, height in ((1000, 800), (799, 800), (801, 800), (3000, 2000)):
        decoded(encoded(Image.new("RGB", (width, height)), "JPEG"), 100)
    assert sizes == [(250, 200), (400, 400), (201, 200), (375, 250)]


# What can't be used


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda content: content[:-60], "truncated"),
        (lambda content: b"", r"is empty \(0 bytes\)"),
        (lambda content: b"no image", "it is not an image"),
        (lambda content: content[:40] + bytes(30) + content[70:], "can't be used"),
    ],
)
def test_a_damaged_photo_is_named_with_its_reason(spoil, reason):
    with pytest.raises(DataError, match=rf"The image x\.png .*{reason}"):
        decoded(spoil(encoded(smooth(40, 40))))


def test_a_cut_jpeg_is_refused_and_not_filled_with_grey():
    whole = encoded(smooth(200, 200), "JPEG")
    with pytest.raises(DataError, match="truncated"):
        decoded(whole[: len(whole) // 2])


def test_a_bomb_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(DataError, match="decompression bomb"):
        decoded(encoded(COLOUR))


def test_what_pillow_warns_of_is_judged_here(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings(record=True) as heard:
        assert decoded(encoded(COLOUR)).shape == (12, 12, 3)
    assert not heard
    monkeypatch.setattr(decoding, "MAX_PIXELS", 100)
    with pytest.raises(DataError, match="it has 144 pixels, more than 100"):
        decoded(encoded(COLOUR))


def test_a_photo_that_would_be_huge_when_resized_is_refused(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 10_000)
    with pytest.raises(DataError, match=r"it would be stored with 10,020,000 pixels"):
        decoded(encoded(Image.new("L", (1002, 1))), 100)
