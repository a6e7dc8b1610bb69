"""From the columns of a Hugging Face dataset that hold numbers to arrays."""

from typing import TYPE_CHECKING

import numpy as np

from dmlbench.errors import DataError, PluginError

if TYPE_CHECKING:
    import datasets


def image_arrays(table: "datasets.Dataset") -> np.ndarray:
    """Return the column ``image`` of type ``Array2D`` or ``Array3D`` as ``[N, C, H, W]`` uint8.

    Raises:
        PluginError: the column is of another type.
    """
    import datasets

    feature = table.features["image"]
    if not isinstance(feature, datasets.Array2D | datasets.Array3D):
        raise PluginError(f"The column 'image' holds {feature}; Image, Array2D or Array3D may be.")
    if feature.dtype != "uint8":
        raise PluginError(f"Images that come as arrays must be uint8, not {feature.dtype}.")
    array = np.asarray(table.with_format("numpy", dtype=np.uint8)["image"][:])
    channels_last = array[..., None] if array.ndim == 3 else array
    return np.ascontiguousarray(channels_last.transpose(0, 3, 1, 2))


def vector_arrays(table: "datasets.Dataset", name: str) -> np.ndarray:
    """Return the column ``vector`` as ``[N, D]`` float32.

    Args:
        table: with the column.
        name: of the dataset, for the user.

    Raises:
        DataError: the vectors differ in length, or hold anything but finite numbers.
    """
    try:
        vectors = np.asarray(table.with_format("numpy")["vector"][:], dtype=np.float32)
    except (TypeError, ValueError) as error:  # of several lengths, or not of numbers
        raise DataError(f"The vectors of {name} are not numbers [N, D]: {error}.") from error
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise DataError(f"The vectors of {name} are not finite numbers [N, D].")
    return vectors
