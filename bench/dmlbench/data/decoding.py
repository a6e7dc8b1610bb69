"""From a Hugging Face dataset's image column to one uint8 array."""

from typing import TYPE_CHECKING, Any

import numpy as np

from dmlbench.errors import DataError, PluginError

if TYPE_CHECKING:
    import datasets

_GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "F"})


def decode_images(table: "datasets.Dataset", image_size: int) -> np.ndarray:
    """Return the column ``image`` as ``[N, C, H, W]`` uint8.

    Arrays stay as they are. Photos are converted to RGB (to grey if all of them are grey), their
    short side is resized to `image_size` (bicubic, anti-aliased), and the middle square is cut.

    Raises:
        DataError: an image can't be decoded; the text names it.
        PluginError: the column has another type.
    """
    import datasets

    feature = table.features["image"]
    if isinstance(feature, datasets.Array2D | datasets.Array3D):
        if feature.dtype != "uint8":
            raise PluginError(f"Images that come as arrays must be uint8, not {feature.dtype}.")
        array = np.asarray(table.with_format("numpy", dtype=np.uint8)["image"][:])
        channels_last = array[..., None] if array.ndim == 3 else array
        return np.ascontiguousarray(channels_last.transpose(0, 3, 1, 2))
    if not isinstance(feature, datasets.Image):
        raise PluginError(f"The column 'image' holds {feature}; Image, Array2D or Array3D may be.")
    undecoded = table.cast_column("image", datasets.Image(decode=False))
    photos = [
        _decode(source["image"] or {}, image_size, place) for place, source in enumerate(undecoded)
    ]
    if all(len(photo) == 1 for photo in photos):
        return np.stack(photos)
    return np.stack([np.broadcast_to(photo, (3, image_size, image_size)) for photo in photos])


def _decode(source: dict[str, Any], size: int, place: int) -> np.ndarray:
    from io import BytesIO

    from PIL import Image, ImageOps

    damaged = (OSError, SyntaxError, ValueError, NotImplementedError, Image.DecompressionBombError)
    path, content = source.get("path"), source.get("bytes")
    if not path and not content:
        raise DataError(f"Item {place} of the dataset has no image.")
    try:
        with Image.open(BytesIO(content) if content else str(path)) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I;16"):  # Pillow would cut off all above 255
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            image = image.convert("L" if image.mode in _GREY_MODES else "RGB")
            square = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    except damaged as error:
        raise DataError(f"The image {path or f'number {place}'} is damaged: {error}") from error
    pixels = np.asarray(square)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
