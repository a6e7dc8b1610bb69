"""Embeddings that were made elsewhere, read from the files in which people keep them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from dmlbench.errors import ConfigError, DataError, nearest

Arrays = Mapping[str, Any]


def read_embeddings(path: Path, labels: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings ``[N, D]`` and labels ``[N]`` from a file.

    Args:
        path: ``.npz`` or ``.safetensors`` with arrays ``embeddings`` and ``labels``, ``.parquet``
            with columns of these names, or ``.npy`` with the embeddings alone.
        labels: a ``.npy`` file with the labels, in place of those in `path`.

    Raises:
        ConfigError: a file of another type, or labels that are in neither file.
        DataError: a file that can't be read, or without the arrays.
    """
    arrays = _read(path)
    embeddings = _named(arrays, "embeddings", path)
    if labels is not None:
        return embeddings, np.asarray(_named(_read(labels), "embeddings", labels))
    if path.suffix == ".npy":
        raise ConfigError(f"{path} holds embeddings alone: give their classes with --labels.")
    return embeddings, _named(arrays, "labels", path)


def _read(path: Path) -> Arrays:
    if path.suffix not in _READERS:
        known = ", ".join(_READERS)
        raise ConfigError(f"{path}: embeddings are read from {known}, not {path.suffix or 'this'}.")
    try:
        return _READERS[path.suffix](path)
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}.") from error
    except (ValueError, BadZipFile, EOFError, KeyError, RuntimeError) as error:
        raise DataError(f"{path} is damaged or holds objects, not numbers: {error}") from error


def _named(arrays: Arrays, name: str, path: Path) -> np.ndarray:
    if name not in arrays:
        raise DataError(f"{path} has no {name!r}.{nearest(name, arrays)}")
    return np.asarray(arrays[name])


def _npz(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _npy(path: Path) -> Arrays:
    return {"embeddings": np.load(path, mmap_mode="r", allow_pickle=False)}


def _safetensors(path: Path) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(error) from error


def _parquet(path: Path) -> Arrays:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(error) from error
    arrays: dict[str, Any] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
            values = column.flatten().to_numpy(zero_copy_only=False)
            if not len(column) or len(values) % len(column):
                raise ValueError(f"the lists of {name!r} differ in length")
            arrays[name] = values.reshape(len(column), -1)
        else:
            arrays[name] = column.to_numpy(zero_copy_only=False)
    return arrays


_READERS: dict[str, Callable[[Path], Arrays]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".safetensors": _safetensors,
    ".parquet": _parquet,
}
