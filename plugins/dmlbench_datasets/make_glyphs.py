"""Renders the `glyphs` dataset from the fonts in matplotlib's wheel.

    python -m dmlbench_datasets.make_glyphs OUTPUT.npz

The result ships as ``glyphs.npz`` and is never rendered at run time, since another release of
FreeType would give other pixels. Changing the set means a new `FINGERPRINT` in ``glyphs.py``, which
this script prints.

A class is a shape, not a code point: where the cases of a letter differ in size alone, one stands
for both, and a Greek or Cyrillic letter that reads as a Latin one, in whichever face, is left out
(А, ο, З, or и, whose italic is a u).
"""

import sys
from collections.abc import Iterator
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from dmlbench import DataError

TRAIN = "123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghijkmnpqrtuy"
TEST = (
    "ΓΔΛΞΠΣΦΨΩαβγδεζηθλμξςστφωϑϙϞϟϠϡϰ"  # Greek, with variants and numerals
    "БДЖИЙЛЦЧШЪЫЭЮЯЂЉЊЋЎѢфђ"  # Cyrillic, with Serbian, Belarusian and old letters
)
FACES = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
)
SIZE = 20  # pixels, of the images
EM = 15  # pixels, of the type
OVERSAMPLING = 6

ROTATION = 15.0  # degrees, either way
LOG_SCALE = 0.2  # each axis on its own
SHEAR = 0.25
SHIFT = 2.0  # pixels
BLUR = 0.8  # pixels, largest standard deviation
SEED = 20_260_101

HOMOGLYPH = 0.985
"""Cosine of two letters, scaled to one size, above which they must not be two classes."""


def main(output: Path) -> None:
    """Render both halves, write them to `output` and print its sha256."""
    refuse_homoglyphs(TRAIN + TEST)
    rng = np.random.default_rng(SEED)
    arrays: dict[str, Any] = {
        "train_images": render(TRAIN, rng),
        "train_labels": np.repeat(np.arange(len(TRAIN), dtype=np.uint8), len(FACES)),
        "test_images": render(TEST, rng),
        "test_labels": np.repeat(
            np.arange(len(TRAIN), len(TRAIN + TEST), dtype=np.uint8), len(FACES)
        ),
        "classes": np.array(list(TRAIN + TEST)),
    }
    np.savez_compressed(output, **arrays)
    content = output.read_bytes()
    print(f"{output}: {len(content):,} bytes, sha256 {sha256(content).hexdigest()}")


def render(letters: str, rng: np.random.Generator) -> np.ndarray:
    """Return one distorted image of each letter in each face ``[len(letters) * 16, H, W]``."""
    return np.stack([distort(draw(letter, face), rng) for letter in letters for face in FACES])


def draw(letter: str, face: str) -> Image.Image:
    """Return the letter in white on black, centred, `OVERSAMPLING` times the final size."""
    from matplotlib import get_data_path

    path = Path(get_data_path(), "fonts", "ttf", f"{face}.ttf")
    font = ImageFont.truetype(str(path), EM * OVERSAMPLING, layout_engine=ImageFont.Layout.BASIC)
    side = SIZE * OVERSAMPLING
    left, top, right, bottom = font.getbbox(letter)
    image = Image.new("L", (side, side))
    corner = ((side - left - right) / 2, (side - top - bottom) / 2)
    ImageDraw.Draw(image).text(corner, letter, font=font, fill=255)
    return image


def distort(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Return the image rotated, sheared, scaled, shifted, blurred and reduced, ``[H, W]`` uint8."""
    angle = np.deg2rad(ROTATION) * rng.uniform(-1, 1)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[1, SHEAR * rng.uniform(-1, 1)], [0, 1]])
    scale = np.diag(np.exp(LOG_SCALE * rng.uniform(-1, 1, size=2)))
    shift = OVERSAMPLING * SHIFT * rng.uniform(-1, 1, size=2)

    centre = np.array(image.size) / 2
    inverse = np.linalg.inv(rotation @ shear @ scale)
    offset = centre - inverse @ (centre + shift)
    coefficients = (*inverse[0], offset[0], *inverse[1], offset[1])
    moved = image.transform(
        image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
    )
    blurred = moved.filter(ImageFilter.GaussianBlur(OVERSAMPLING * BLUR * rng.uniform()))
    return np.asarray(blurred.resize((SIZE, SIZE), Image.Resampling.BOX))


def refuse_homoglyphs(letters: str) -> None:
    """Raise `DataError` if two of the letters look the same in any face, apart from size."""
    same = [
        f"{first} and {second} in {face}"
        for face in FACES
        for first, second in homoglyphs(letters, face)
    ]
    if same:
        raise DataError(f"Letters that look the same must not be two classes: {'; '.join(same)}.")


def homoglyphs(letters: str, face: str) -> Iterator[tuple[str, str]]:
    """Yield the pairs of letters whose shapes are the same up to size and a pixel's shift."""
    shapes = np.stack([_shape(letter, face) for letter in letters])
    likeness = np.zeros((len(letters), len(letters)))
    for shift in np.ndindex(3, 3):
        moved = np.roll(shapes, np.subtract(shift, 1), axis=(1, 2))
        cosine = np.einsum("ihw,jhw->ij", shapes, moved)
        likeness = np.maximum(likeness, cosine)
    for i, j in combinations(range(len(letters)), 2):
        if likeness[i, j] >= HOMOGLYPH:
            yield letters[i], letters[j]


def _shape(letter: str, face: str) -> np.ndarray:
    """Return the letter cut out, its longer side 24 of 28 pixels, at unit length."""
    drawn = draw(letter, face)
    cut = drawn.crop(drawn.getbbox())
    factor = 24 / max(cut.size)
    small = cut.resize([max(1, round(factor * side)) for side in cut.size], Image.Resampling.BOX)
    canvas = Image.new("L", (28, 28))
    canvas.paste(small, ((28 - small.width) // 2, (28 - small.height) // 2))
    pixels = np.asarray(canvas, dtype=np.float64)
    return pixels / np.linalg.norm(pixels)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
