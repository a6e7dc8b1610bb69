"""Image files of every kind, and pictures to put in them."""

from io import BytesIO

import numpy as np
from PIL import Image

# What a camera stores is what its orientation turns into the upright picture.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
FORMATS = {
    "JPEG": {"quality": 100, "subsampling": 0},
    "MPO": {"quality": 100, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
}


def image_file(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    """Return the content of a file."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def held_by_a_camera(upright: Image.Image, kind: str, orientation: int) -> bytes:
    """Return a file whose EXIF orientation turns what is stored into the upright picture."""
    undo, exif = STORED[orientation], Image.Exif()
    exif[0x0112] = orientation
    stored = upright if undo is None else upright.transpose(undo)
    return image_file(stored, kind, exif=exif, **FORMATS[kind])


def smooth(height: int, width: int) -> Image.Image:
    """Return a picture of waves."""
    y, x = np.mgrid[:height, :width]
    waves = [127 + 90 * np.sin(x / k + y / (7 * k)) for k in (19, 33, 50)]
    return Image.fromarray(np.stack(waves, -1).astype(np.uint8))
