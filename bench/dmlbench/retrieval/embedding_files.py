"""Embeddings made elsewhere, read from the file formats people keep them in."""

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
        labels: a ``.npy`` file with the labels, instead of those in `path`.

    Raises:
        ConfigError: the file type is unknown, or neither file has labels.
        DataError: a file can't be read or lacks an array, or there is not one label per row.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "mine.npz")
        ...     np.savez(path, embeddings=np.ones((3, 2)), labels=np.arange(3))
        ...     embeddings, labels = read_embeddings(path)
        >>> embeddings.shape, labels.shape
        ((3, 2), (3,))
    """
    arrays = _read(path)
    embeddings = _named(arrays, "embeddings", path)
    if labels is not None:
        return embeddings, _checked(_named(_read(labels), "embeddings", labels), embeddings, labels)
    if path.suffix == ".npy":
        raise ConfigError(f"{path} holds embeddings alone: give their classes with --labels.")
    return embeddings, _checked(_named(arrays, "labels", path), embeddings, path)


def _checked(labels: np.ndarray, embeddings: np.ndarray, path: Path) -> np.ndarray:
    """Return `labels`, which may be of any type.

    Raises:
        DataError: there is not exactly one per embedding.
    """
    if labels.ndim != 1 or labels.shape != embeddings.shape[:1]:
        raise DataError(
            f"{path}: labels must have one entry for each embedding; their shape is "
            f"{list(labels.shape)}, that of the embeddings {list(embeddings.shape)}."
        )
    if labels.dtype.kind not in "iu":
        from pandas import isna

        empty = np.flatnonzero(isna(labels))
        if len(empty):
            raise DataError(f"{path}: labels have an empty entry, first in row {empty[0]}.")
    return labels


def _read(path: Path) -> Arrays:
    if path.suffix not in _READERS:
        known = ", ".join(_READERS)
        raise ConfigError(f"{path}: embeddings are read from {known}, not {path.suffix or 'this'}.")
    try:
        if not path.is_file() and not path.is_dir() and path.exists():  # a pipe may never end
            raise DataError(f"{path} is not a regular file.")
        return _READERS[path.suffix](path)
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or _one_line(error)}.") from error
    except MemoryError as error:
        raise DataError(f"{path} does not fit into memory: {_one_line(error)}") from error
    except (ValueError, BadZipFile, EOFError, KeyError, RuntimeError) as error:
        raise DataError(
            f"{path} is damaged or holds objects, not numbers: {_one_line(error)}"
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


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
    except (TypeError, AttributeError) as error:  # what it raises for bfloat16 and float8
        raise DataError(
            f"{path} has numbers of a type that NumPy lacks; save them as float32."
        ) from error


def _parquet(path: Path) -> Arrays:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(error) from error
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    arrays: dict[str, Any] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if any(is_list(column.type) for is_list in lists):
            lengths = pc.list_value_length(column).unique().to_pylist() or [0]
            if len(lengths) > 1 or lengths[0] is None:
                raise ValueError(f"the lists of {name!r} differ in length")
            values = column.flatten().to_numpy(zero_copy_only=False)
            arrays[name] = values.reshape(len(column), lengths[0])
        else:
            arrays[name] = column.to_numpy(zero_copy_only=False)
    return arrays


_READERS: dict[str, Callable[[Path], Arrays]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".safetensors": _safetensors,
    ".parquet": _parquet,
}
