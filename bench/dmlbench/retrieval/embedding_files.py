"""Embeddings made elsewhere, read from the file formats people keep them in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np

from dmlbench.errors import ConfigError, DataError, nearest
from dmlbench.retrieval.kept_embeddings import holds_gallery, named_arrays
from dmlbench.retrieval.labels import read_classes

Arrays = Mapping[str, Any]
Side = Literal["query", "gallery"]


@dataclass(frozen=True)
class EmbeddingSet:
    """What a file holds of one set."""

    embeddings: np.ndarray
    """``[N, D]``."""
    labels: np.ndarray
    """``[N]``, see `read_classes`."""
    groups: np.ndarray | None
    """``[N]``, if asked for."""

    def equals(self, other: "EmbeddingSet") -> bool:
        """Return whether both hold the same items in the same order."""
        return np.array_equal(self.embeddings, other.embeddings) and np.array_equal(
            self.labels, other.labels
        )


def read_sets(
    path: Path,
    labels: Path | None = None,
    gallery: Path | None = None,
    gallery_labels: Path | None = None,
    groups: str | None = None,
) -> tuple[EmbeddingSet, EmbeddingSet | None]:
    """Return queries and gallery; None if the queries search each other.

    Args:
        path: ``.npz`` or ``.safetensors`` with arrays ``embeddings`` ``[N, D]`` and ``labels``
            ``[N]``, ``.parquet`` with columns of these names, ``.npy`` with the embeddings alone,
            or what ``run --keep-embeddings`` wrote, which may hold a gallery too.
        labels: a ``.npy`` file with the labels, instead of those in `path`.
        gallery: a file of the same kinds with what is searched.
        gallery_labels: the gallery's labels, as `labels`.
        groups: the name of a further array or column ``[N]`` to read from each file.

    Raises:
        ConfigError: the file type is unknown, or neither file has labels.
        DataError: a file can't be read or lacks an array, or there is not one label per row.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "mine.npz")
        ...     np.savez(path, embeddings=np.ones((3, 2)), labels=np.arange(3))
        ...     items, gallery = read_sets(path)
        >>> items.embeddings.shape, items.labels.shape, gallery
        ((3, 2), (3,), None)
    """
    arrays = _read(path)
    queries = _set(arrays, path, labels, "query", groups)
    if gallery is not None:
        return queries, _set(_read(gallery), gallery, gallery_labels, "gallery", groups)
    if holds_gallery(arrays) and "embeddings" not in arrays:
        return queries, _set(arrays, path, None, "gallery", groups)
    return queries, None


def read_vectors(path: Path) -> np.ndarray:
    """Return embeddings ``[N, D]`` alone, of a file with or without labels.

    Raises:
        ConfigError, DataError: see `read_sets`.
    """
    return _named(_of_side(_read(path), path, "gallery"), "embeddings", path)


def _set(
    arrays: Arrays, path: Path, labels: Path | None, side: Side, groups: str | None
) -> EmbeddingSet:
    arrays = _of_side(arrays, path, side)
    embeddings = _named(arrays, "embeddings", path)
    rows = len(embeddings) if embeddings.ndim else 0
    if labels is not None:
        classes = read_classes(
            _named(_read(labels), "embeddings", labels), rows, f"{labels}: labels"
        )
    elif path.suffix == ".npy":
        raise ConfigError(f"{path} holds embeddings alone: give their classes with --labels.")
    else:
        classes = read_classes(_named(arrays, "labels", path), rows, f"{path}: labels")
    if groups is None:
        return EmbeddingSet(embeddings, classes.values, None)
    named = read_classes(_named(arrays, groups, path), rows, f"{path}: {groups}")
    return EmbeddingSet(embeddings, classes.values, named.values)


def _of_side(arrays: Arrays, path: Path, side: Side) -> Arrays:
    """Return the arrays of one side of a file, if a trial's embeddings were kept in it."""
    try:
        return named_arrays(arrays, side) or arrays
    except DataError as error:
        raise DataError(f"{path} can't be scored: {error}.") from error


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
