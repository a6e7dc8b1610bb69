"""Encoded images for tests of the data layer."""

from io import BytesIO
from pathlib import Path

import datasets
import numpy as np
from PIL import Image


def encoded(pixels: np.ndarray, kind: str = "PNG") -> dict:
    """Return an image as a row of an ``Image`` column holds it, by its bytes."""
    buffer = BytesIO()
    Image.fromarray(pixels.squeeze()).save(buffer, kind)
    return {"bytes": buffer.getvalue(), "path": None}


def some_photos(count: int, seed: int = 0, channels: int = 3) -> list[np.ndarray]:
    """Return pictures ``[H, W, C]`` of several sizes, 20 to 39 pixels a side."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(20, 40, size=(count, 2)).tolist()
    return [rng.integers(256, size=(*size, channels)).astype(np.uint8) for size in sizes]


def files_of(photos: list[np.ndarray], folder: Path) -> list[str]:
    """Write each picture to a file of its own and return their paths."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{place}.png" for place in range(len(photos))]
    for path, photo in zip(paths, photos, strict=True):
        path.write_bytes(encoded(photo)["bytes"])
    return [str(path) for path in paths]


def table(images: list, labels: list[int] | None = None) -> datasets.Dataset:
    """Return images, by path or by bytes, and their labels among eight as a dataset."""
    labels = list(range(len(images))) if labels is None else labels
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=list("abcdefgh"))
    )
    return datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)
