"""From the bytes of an image file to pixels of one size, whatever the kind of image.

- The orientation that a camera records (EXIF) is applied.
- Pixels are RGB, or grey where the file is grey. 16 bits become 8; an image that uses a small part
  of their range, such as 12-bit values in a 16-bit file, keeps few levels, and that is reported.
  Transparency is put on white.
- The short side is resized, up or down, to the protocol's length; the aspect ratio is kept, and
  resizing always anti-aliased. A JPEG of at least four times that size is decoded at a half, a
  quarter or an eighth of its own, but never below twice the size wanted: several times as fast, and
  pixels differ by about 1 of 255 from a full decoding (on textures with the spectrum of photos).
- With a `store_side`, a photo is kept with that short side or its own, whichever is less, for crops
  of any size; the centre square of the photo resized to `short_side` is kept beside it. Each comes
  from a decoding as large as it needs, so the square is the same to the bit with or without.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmlbench.data.photos.crops import centre_boxes
from dmlbench.data.photos.resampling import Interpolation, resized
from dmlbench.errors import DataError
from dmlbench.schemas.protocol import Protocol

if TYPE_CHECKING:
    from PIL import Image

VERSION = 2
"""Increased when decoding changes: photos stored by older rules are then decoded again."""

MAX_PIXELS = 1 << 26
"""Most pixels that an image may have, as a file or as stored: 67 million."""

_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)  # in EXIF
_GREY_MODES = ("1", "L", "LA", "La")
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
_DEEP_FORMATS = ("PNG", "PPM")  # 16 bits, though some versions of Pillow say "I"
_FAINT_LEVELS = 256 // 8


@dataclass(frozen=True)
class PhotoFormat:
    """How photos are stored, and the squares of them that a network sees; see `Protocol`."""

    image_size: int
    short_side: int
    interpolation: Interpolation = "bicubic"
    store_side: int | None = None

    @classmethod
    def of(cls, protocol: Protocol) -> "PhotoFormat":
        """Return the format that a protocol sets."""
        return cls(
            protocol.image_size, protocol.short_side, protocol.interpolation, protocol.crops_from
        )


class Decoded(NamedTuple):
    """An image file as a network may see it.

    Attributes:
        pixels: ``[H, W, C]`` uint8, C = 1 or 3, resized.
        deep: whether the file has 16 bits a channel.
        faint: whether it has, and uses less than an eighth of their range.
        square: ``[image_size, image_size, C]``, if it is not to be cut from `pixels`.
    """

    pixels: np.ndarray
    deep: bool
    faint: bool
    square: np.ndarray | None = None

    @property
    def depth(self) -> tuple[bool, bool]:
        """Return `deep` and `faint`."""
        return self.deep, self.faint


def decode(content: bytes, name: str, photos: PhotoFormat) -> Decoded:
    """Decode an image file and resize it.

    Call it inside `quiet_pillow`.

    Args:
        content: of the file.
        name: of the image, for error messages.
        photos: lengths of the short side, and interpolation.

    Raises:
        DataError: the file is empty, damaged, too large, or of an unsupported kind.
    """
    if not content:
        raise DataError(f"{name} is empty (0 bytes).")
    try:
        pixels, full, deep = _pixels(content, photos.short_side)
        faint = deep and int(pixels.max()) - int(pixels.min()) < _FAINT_LEVELS
        whole = resized(pixels, _scaled(full, photos.short_side), photos.interpolation)
        if photos.store_side is None:
            return Decoded(whole, deep, faint)
        kept = _scaled(full, min(*full, photos.store_side))
        if pixels.shape[:2] != full and min(pixels.shape[:2]) < 2 * min(kept):
            pixels = _pixels(content, min(kept))[0]
        square = _centre(whole, photos.image_size)
        return Decoded(resized(pixels, kept, photos.interpolation), deep, faint, square)
    except Exception as error:  # Pillow raises whatever a damaged file makes its readers do
        reason = str(error).rstrip(".") or type(error).__name__
        raise DataError(f"{name} can't be used: {reason}.") from error


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings of large images and odd metadata: `decode` does its own checks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _scaled(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Return two lengths at the same ratio, the shorter one as given."""
    short = min(size)
    return short_side * size[0] // short, short_side * size[1] // short


def _centre(picture: np.ndarray, side: int) -> np.ndarray:
    """Return the square in the middle of a picture."""
    ((top, left, _, _),) = centre_boxes(np.array([picture.shape[:2]]), (side, side)).tolist()
    return picture[top : top + side, left : left + side]


def _pixels(content: bytes, short_side: int) -> tuple[np.ndarray, tuple[int, int], bool]:
    """Decode a picture that will be resized to `short_side`.

    Returns:
        its pixels ``[H, W, C]``, of a JPEG perhaps at a fraction of its size; height and width of
        the whole; and whether it has 16 bits.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        opened = Image.open(BytesIO(content))
    except UnidentifiedImageError:
        raise ValueError("it is not an image, or of a kind that Pillow does not know") from None
    with opened as file:
        full, deep = file.size, _has_16_bits(file)
        on_its_side = file.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
        wanted = _scaled(full, short_side)
        for name, (wide, tall) in {"has": full, "would be stored with": wanted}.items():
            if tall * wide > MAX_PIXELS:
                raise ValueError(f"it {name} {tall * wide:,} pixels, more than {MAX_PIXELS:,}")
        file.draft(None, (2 * wanted[0], 2 * wanted[1]))
        drafted = file.size
        ImageOps.exif_transpose(file, in_place=True)
        # Some formats turn themselves when they are read, so the size is that after the turn; only
        # one decoded at a fraction, a JPEG, no longer tells its own.
        if drafted == full:
            full = file.size
        elif on_its_side:
            full = full[::-1]
        pixels = np.asarray(_grey_or_rgb(file, file.format))
    return (pixels[:, :, None] if pixels.ndim == 2 else pixels), full[::-1], deep


def _has_16_bits(image: "Image.Image") -> bool:
    """Return whether a file has 16 bits a channel; once loaded, Pillow may have made it 8."""
    rawmodes = [str(tile[3]) for tile in getattr(image, "tile", ())]
    return image.mode.startswith("I;16") or any(";16" in rawmode for rawmode in rawmodes)


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
