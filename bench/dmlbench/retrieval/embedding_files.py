"""Embeddings made elsewhere, read from the file formats people keep them in."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal
from zipfile import ZipFile

import numpy as np

from dmlbench.errors import ConfigError, DataError, nearest
from dmlbench.reading import check_regular
from dmlbench.retrieval.kept_embeddings import holds_gallery, named_arrays
from dmlbench.retrieval.labels import read_classes

Arrays = Mapping[str, np.ndarray]
Side = Literal["query", "gallery"]

_MOST_WORDS = 300
_PARQUET_SIZES = """
import json, sys
import pyarrow.parquet as pq
path, widest = sys.argv[1], int(sys.argv[2])
with pq.ParquetFile(path) as file:
    sizes = dict.fromkeys(file.schema_arrow.names, 0)
    for row in range(file.num_row_groups):
        for column in range(file.metadata.num_columns):
            facts = file.metadata.row_group(row).column(column)
            name = facts.path_in_schema.partition(".")[0]
            if name in sizes:
                sizes[name] += max(widest * facts.num_values, facts.total_uncompressed_size)
json.dump(sizes, sys.stdout)
"""
_WIDEST = 8
"""Bytes of the widest number that is read."""


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
    with _damage_told(path):
        return named_arrays(arrays, side, path) or arrays


class _Arrays(Mapping[str, np.ndarray]):
    """The arrays in a file by name; each is read when it is asked for, and no other is.

    Args:
        path: of the file.
        sizes: the bytes of memory that each array takes at most, as the file says.
        read: returns an array.
    """

    def __init__(
        self, path: Path, sizes: Mapping[str, int], read: Callable[[str], np.ndarray]
    ) -> None:
        self.path, self.sizes, self.read = path, sizes, read

    def __iter__(self) -> Iterator[str]:
        return iter(self.sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, name: str) -> np.ndarray:
        size = self.sizes[name]
        with _damage_told(self.path):
            if size > _memory():
                raise MemoryError(f"{name!r} has up to {size:,} bytes")
            return self.read(name)


def _memory() -> int:
    """Return the bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _read(path: Path) -> Arrays:
    if path.suffix not in _READERS:
        known = ", ".join(_READERS)
        raise ConfigError(f"{path}: embeddings are read from {known}, not {path.suffix or 'this'}.")
    check_regular(path)
    with _damage_told(path):
        return _READERS[path.suffix](path)


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Word what the readers of others raise: on damaged files that is any kind of error."""
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or _one_line(error)}.") from error
    except MemoryError as error:
        raise DataError(f"{path} does not fit into memory: {_one_line(error)}.") from error
    except Exception as error:
        raise DataError(
            f"{path} is damaged or holds objects, not numbers: {_one_line(error)}"
        ) from error


def _one_line(error: Exception) -> str:
    return shorten(str(error), _MOST_WORDS) or type(error).__name__


def _named(arrays: Arrays, name: str, path: Path) -> np.ndarray:
    if name not in arrays:
        raise DataError(f"{path} has no {name!r}.{nearest(name, arrays)}")
    return np.asarray(arrays[name])


def _npz(path: Path) -> Arrays:
    """Return the arrays of a zip archive, whose members end in ``.npy``."""
    with ZipFile(path) as archive:
        members = archive.infolist()

    def read(name: str) -> np.ndarray:
        with ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
            array: np.ndarray = np.lib.format.read_array(member, allow_pickle=False)
            return array

    arrays = [member for member in members if member.filename.endswith(".npy")]
    sizes = {member.filename.removesuffix(".npy"): member.file_size for member in arrays}
    return _Arrays(path, sizes, read)


def _npy(path: Path) -> Arrays:
    return {"embeddings": np.lib.format.open_memmap(path, mode="r")}


def _safetensors(path: Path) -> Arrays:
    from safetensors import safe_open

    def read(name: str) -> np.ndarray:
        with safe_open(path, "numpy") as file:
            try:
                array: np.ndarray = file.get_tensor(name)
            except (TypeError, AttributeError) as error:  # what it raises for bfloat16 and float8
                raise DataError(
                    f"{path} has numbers of a type that NumPy lacks; save them as float32."
                ) from error
            return array

    with safe_open(path, "numpy") as file:
        return _Arrays(path, dict.fromkeys(file.keys(), path.stat().st_size), read)


def _parquet(path: Path) -> Arrays:
    def read(name: str) -> np.ndarray:
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            return _column(file.read(columns=[name]), name)

    return _Arrays(path, _parquet_sizes(path), read)


def _parquet_sizes(path: Path) -> dict[str, int]:
    """Return about how many bytes each column takes, as a child process finds them.

    On damaged facts of a column pyarrow ends its process, where reading the column would raise.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PARQUET_SIZES, str(path), str(_WIDEST)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["pyarrow can't read it"]
        raise ValueError(said[-1].strip().removeprefix("what():").strip())
    sizes: dict[str, int] = json.loads(done.stdout)
    return sizes


def _column(table: Any, name: str) -> np.ndarray:
    """Return a column of an Arrow table: one of lists of equal length as ``[N, D]``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    column = table.column(name).combine_chunks()
    array: np.ndarray
    if not any(is_list(column.type) for is_list in lists):
        array = column.to_numpy(zero_copy_only=False)
        return array
    lengths = pc.list_value_length(column).unique().to_pylist() or [0]
    if len(lengths) > 1 or lengths[0] is None:
        raise ValueError(f"the lists of {name!r} differ in length")
    array = column.flatten().to_numpy(zero_copy_only=False)
    return array.reshape(len(column), lengths[0])


_READERS: dict[str, Callable[[Path], Arrays]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".safetensors": _safetensors,
    ".parquet": _parquet,
}
