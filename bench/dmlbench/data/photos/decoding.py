"""From the bytes of an image file to pixels of one size, whatever the kind of image.

- The orientation that a camera records (EXIF) is applied.
- Pixels are RGB, or grey where the file is grey. 16 bits become 8. Transparency is put on white.
- The short side is resized, up or down, to the protocol's length; the aspect ratio is kept, and
  resizing always anti-aliased. A JPEG of at least four times that size is decoded at a half, a
  quarter or an eighth of its own, but never below twice the size wanted: several times as fast, and
  pixels differ by about 1 of 255 from a full decoding (on textures with the spectrum of photos).
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from dmlbench.data.photos.resampling import Interpolation, resized
from dmlbench.errors import DataError
from dmlbench.schemas.protocol import Protocol

if TYPE_CHECKING:
    from PIL import Image

VERSION = 1
"""Increased when decoding changes: photos stored by older rules are then decoded again."""

MAX_PIXELS = 1 << 26
"""Most pixels that an image may have, as a file or as stored: 67 million."""

_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)  # in EXIF
_GREY_MODES = ("1", "L", "LA", "La")
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
_DEEP_FORMATS = ("PNG", "PPM")  # 16 bits, though some versions of Pillow say "I"


@dataclass(frozen=True)
class PhotoFormat:
    """How photos are stored, and the squares of them that a network sees."""

    image_size: int
    short_side: int
    interpolation: Interpolation = "bicubic"

    @classmethod
    def of(cls, protocol: Protocol) -> "PhotoFormat":
        """Return the format that a protocol sets."""
        return cls(protocol.image_size, protocol.short_side, protocol.interpolation)


def decode(content: bytes, name: str, photos: PhotoFormat) -> np.ndarray:
    """Return an image file as pixels ``[H, W, C]`` uint8, C = 1 or 3, resized.

    Call it inside `quiet_pillow`.

    Args:
        content: of the file.
        name: of the image, for error messages.
        photos: length of the short side, and interpolation.

    Raises:
        DataError: the file is empty, damaged, too large, or of an unsupported kind.
    """
    if not content:
        raise DataError(f"{name} is empty (0 bytes).")
    try:
        pixels, size = _pixels(content, photos.short_side)
        return resized(pixels, size, photos.interpolation)
    except Exception as error:  # Pillow raises whatever a damaged file makes its readers do
        reason = str(error).rstrip(".") or type(error).__name__
        raise DataError(f"{name} can't be used: {reason}.") from error


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings of large images and odd metadata: `decode` does its own checks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _pixels(content: bytes, short_side: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the pixels ``[H, W, C]``, and the height and width to resize them to."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        opened = Image.open(BytesIO(content))
    except UnidentifiedImageError:
        raise ValueError("it is not an image, or of a kind that Pillow does not know") from None
    with opened as file:
        width, height = file.size
        if file.getexif().get(_ORIENTATION) in _ON_ITS_SIDE:
            width, height = height, width
        short = min(width, height)
        size = (short_side * height // short, short_side * width // short)
        file.draft(
            None, (2 * short_side * file.width // short, 2 * short_side * file.height // short)
        )
        for name, (tall, wide) in {"has": file.size, "would be stored with": size}.items():
            if tall * wide > MAX_PIXELS:
                raise ValueError(f"it {name} {tall * wide:,} pixels, more than {MAX_PIXELS:,}")
        ImageOps.exif_transpose(file, in_place=True)
        pixels = np.asarray(_grey_or_rgb(file, file.format))
    return (pixels[:, :, None] if pixels.ndim == 2 else pixels), size


def _grey_or_rgb(image: "Image.Image", kind: str | None) -> "Image.Image":
    """Return `image` with 8 bits per pixel of grey, or of red, green and blue."""
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode == "I" and kind in _DEEP_FORMATS):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are {'floats' if image.mode == 'F' else '32-bit integers'}")
    target = "L" if image.mode in _GREY_MODES else "RGB"
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == target else image.convert(target)  # which copies
