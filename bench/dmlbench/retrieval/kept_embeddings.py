"""What ``run --keep-embeddings`` writes of each split, as arrays that ``score`` reads.

A split ``test`` is three arrays: ``test`` ``[N, E]`` float32, ``test.labels`` ``[N]`` int64, and
``test.names``, which holds a name in each row: UTF-8 bytes ``[N, L]``, zeros at the end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from dmlbench.errors import DataError

_LABELS, _NAMES = ".labels", ".names"


@dataclass(frozen=True)
class KeptSplit:
    """The embeddings of a split with what they are of.

    Example:
        >>> kept = KeptSplit(np.eye(2, dtype=np.float32), np.array([7, 7]), ["owl/1", "owl/2"])
        >>> arrays = as_arrays({"test": kept})
        >>> list(arrays)
        ['test', 'test.labels', 'test.names']
        >>> named_arrays(arrays, "gallery", "kept.safetensors")["names"]
        array(['owl/1', 'owl/2'], dtype='<U5')
    """

    embeddings: np.ndarray
    """``[N, E]`` float32."""
    labels: np.ndarray
    """Class ids of the dataset ``[N]``."""
    names: Iterable[str]
    """A name of each item: its file, or its split and row."""


def as_arrays(splits: Mapping[str, KeptSplit]) -> dict[str, np.ndarray]:
    """Return the arrays to write, by name."""
    arrays = {}
    for split, kept in splits.items():
        texts = np.array([name.encode(errors="surrogateescape") for name in kept.names])
        arrays[split] = np.ascontiguousarray(kept.embeddings)
        arrays[split + _LABELS] = kept.labels.astype(np.int64)
        arrays[split + _NAMES] = texts.view(np.uint8).reshape(len(texts), -1)
    return arrays


def embeddings_by_split(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the embeddings ``[N, E]`` of each split in a file, labelled or not."""
    return {name: rows for name, rows in arrays.items() if not name.endswith((_LABELS, _NAMES))}


def has_labels(names: Iterable[str]) -> bool:
    """Return whether a file with arrays of these names says what its embeddings are of."""
    return any(name.endswith(_LABELS) for name in names)


def holds_gallery(names: Iterable[str]) -> bool:
    """Return whether a file with arrays of these names holds queries and what they search."""
    return {"query", "gallery"} <= set(names)


def named_arrays(
    arrays: Mapping[str, np.ndarray], side: str, where: object
) -> dict[str, np.ndarray] | None:
    """Return ``embeddings``, ``labels`` and ``names`` of a split; None if nothing was kept there.

    Args:
        arrays: of a file.
        side: "query" or "gallery"; where the test items search each other, they are both.
        where: names the file in errors.

    Raises:
        DataError: an older dmlbench kept the embeddings, without labels.
    """
    split = side if holds_gallery(arrays) else "test"
    if split not in arrays or "embeddings" in arrays:
        return None
    if split + _LABELS not in arrays:
        raise DataError(
            f"{where} can't be scored: it was kept by an older dmlbench, without labels; the "
            "command that made it, with --keep-embeddings, makes it again."
        )
    names = np.ascontiguousarray(arrays[split + _NAMES])
    texts = names.view(f"S{names.shape[1]}")[:, 0]
    return {
        "embeddings": arrays[split],
        "labels": arrays[split + _LABELS],
        # Without the encoding, NumPy leaves out what to do with errors, too.
        "names": np.char.decode(texts, "utf-8", errors="surrogateescape"),
    }
