"""The inputs of all splits of a dataset: arrays in memory, or photos in a store."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmlbench.contracts.components import Dataset
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.data.photos.encoded import sources
from dmlbench.data.photos.pictures import StoredPhotos
from dmlbench.data.photos.store import OnProgress, photo_store
from dmlbench.errors import ConfigError, DataError, PluginError
from dmlbench.storage.cache import cache_folder

if TYPE_CHECKING:
    import datasets

    Tables = Mapping[str, datasets.Dataset]

Inputs = np.ndarray | StoredPhotos
"""Images ``[N, C, H, W]`` uint8, stored photos that act as such an array, or vectors ``[N, D]``
float32."""


def load_inputs(
    dataset: Dataset,
    tables: "Tables",
    photos: PhotoFormat,
    cache_dir: Path | None,
    on_progress: OnProgress,
) -> Mapping[str, Inputs]:
    """Return the inputs of each split, all of one shape.

    Raises:
        DataError: an input is damaged or differs in shape, or the photos can't be stored.
        ConfigError: there is nowhere to store photos, or the squares are larger than the photos.
        PluginError: a column has a type that the contract does not allow.
    """
    name = type(dataset).__name__
    if dataset.modality == "vector":
        return _of_one_shape(name, {n: vector_arrays(table, name) for n, table in tables.items()})
    if _are_photos(name, tables):
        return _store_photos(tables, photos, cache_folder(cache_dir), on_progress)
    return _of_one_shape(name, _with_colour({n: image_arrays(t) for n, t in tables.items()}))


def _are_photos(name: str, tables: "Tables") -> bool:
    import datasets

    found = {isinstance(table.features["image"], datasets.Image) for table in tables.values()}
    if len(found) > 1:
        raise PluginError(f"{name}: some splits have image files, others arrays.")
    return found.pop()


def _store_photos(
    tables: "Tables", photos: PhotoFormat, folder: Path, on_progress: OnProgress
) -> dict[str, Inputs]:
    """Return the photos of all splits, kept in one store."""
    if photos.image_size > photos.short_side:
        raise ConfigError(
            f"Squares of {photos.image_size} pixels can't be cut from photos stored with a short "
            f"side of {photos.short_side}: set protocol.short_side to {photos.image_size} or more."
        )
    store, places = photo_store(sources(tables), photos, folder, on_progress)
    ends = np.cumsum([len(table) for table in tables.values()])
    parts = zip(tables, np.split(places, ends[:-1]), strict=True)
    return {name: StoredPhotos(store, some, photos.image_size) for name, some in parts}


def _with_colour(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the images, the grey ones converted to colour if any split has colour."""
    if {array.shape[1] for array in arrays.values()} != {1, 3}:
        return arrays
    return {n: np.repeat(array, 3 // array.shape[1], axis=1) for n, array in arrays.items()}


def _of_one_shape(name: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    shapes = {array.shape[1:] for array in arrays.values()}
    if len(shapes) > 1:
        raise DataError(
            f"{name}: the items of its splits differ in shape: "
            f"{' and '.join(str(list(shape)) for shape in sorted(shapes))}."
        )
    return arrays


def image_arrays(table: "datasets.Dataset") -> np.ndarray:
    """Return the column ``image`` of type ``Array2D`` or ``Array3D`` as ``[N, C, H, W]`` uint8.

    Raises:
        PluginError: the column is of another type.
    """
    import datasets

    feature = table.features["image"]
    if not isinstance(feature, datasets.Array2D | datasets.Array3D):
        raise PluginError(f"The column 'image' holds {feature}; use Image, Array2D or Array3D.")
    if feature.dtype != "uint8":
        raise PluginError(f"Images that come as arrays must be uint8, not {feature.dtype}.")
    array = np.asarray(table.with_format("numpy", dtype=np.uint8)["image"][:])
    channels_last = array[..., None] if array.ndim == 3 else array
    return np.ascontiguousarray(channels_last.transpose(0, 3, 1, 2))


def vector_arrays(table: "datasets.Dataset", name: str) -> np.ndarray:
    """Return the column ``vector`` as ``[N, D]`` float32.

    Args:
        table: has the column.
        name: the dataset's name, for error messages.

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
