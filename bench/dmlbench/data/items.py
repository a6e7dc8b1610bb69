"""A dataset's splits: arrays in memory or stored photos, checked against its promises."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmlbench.contracts.components import Dataset
from dmlbench.counted import counted
from dmlbench.data.inputs import Inputs, load_inputs
from dmlbench.data.item_names import item_names
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.data.photos.pictures import StoredPhotos
from dmlbench.data.photos.store import OnProgress
from dmlbench.errors import DataError, PluginError, guarded

if TYPE_CHECKING:
    import datasets

_SPLITS = {
    "retrieval": ("train", "test"),
    "query-gallery": ("train", "query", "gallery"),
    "cross-validation": ("all",),
}

BLOCK = 128
"""Number of photos held in memory as arrays at a time."""


@dataclass(frozen=True)
class Items:
    """Labelled items of one split. Trials share them, so labels and groups are read-only.

    An index array selects items:

        >>> items = Items(np.array([[[[0, 255]]], [[[51, 0]]]], dtype=np.uint8), np.array([7, 8]))
        >>> items[np.array([1])].flat()
        array([[0.2, 0. ]], dtype=float32)

    Attributes:
        inputs: images ``[N, C, H, W]`` uint8, stored photos that act as such an array, or vectors
            ``[N, D]`` float32.
        labels: class ids ``[N]`` int64.
        groups: super-class ids ``[N]`` int64, where the dataset has them.
        names: a name of each item ``[N]``, see `item_names`, where the dataset was loaded.
    """

    inputs: Inputs
    labels: np.ndarray
    groups: np.ndarray | None = None
    names: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", _read_only(self.labels))
        for optional in ("groups", "names"):
            if getattr(self, optional) is not None:
                object.__setattr__(self, optional, _read_only(getattr(self, optional)))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: np.ndarray) -> "Items":
        groups = None if self.groups is None else self.groups[index]
        names = None if self.names is None else self.names[index]
        return Items(self.inputs[index], self.labels[index], groups, names)

    def flat(self) -> np.ndarray:
        """Return a copy, one row per item ``[N, D]`` float32: pixels scaled to 0-1, or vectors."""
        inputs = self.inputs.centre() if isinstance(self.inputs, StoredPhotos) else self.inputs
        rows = inputs.reshape(len(self), -1).astype(np.float32)
        if inputs.dtype == np.uint8:
            rows /= 255
        return rows

    def blocks(self) -> Iterator["Items"]:
        """Yield all items in order: arrays in one block, photos in blocks that fit in memory."""
        if not isinstance(self.inputs, StoredPhotos):
            yield self
            return
        for start in range(0, len(self), BLOCK):
            yield self[np.arange(start, min(start + BLOCK, len(self)))]


def _read_only(array: np.ndarray) -> np.ndarray:
    """Return an array of the same content that nobody can make writable.

    Its memory belongs to a ``bytes`` object; the flag of an array that owns its memory can be set
    again.
    """
    owner: object = array.base
    if isinstance(owner, bytes):
        return array
    return np.ndarray(array.shape, array.dtype, array.tobytes())


@dataclass(frozen=True)
class Data:
    """The splits of a dataset, and the fingerprint of their content."""

    splits: Mapping[str, Items]
    class_names: tuple[str, ...]
    fingerprint: str
    initial_weights: str = ""
    """Hash of the frozen backbone's weights if the inputs are its features, else empty."""


def load_data(
    dataset: Dataset,
    data_dir: Path | None,
    photos: PhotoFormat | int,
    *,
    cache_dir: Path | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Data:
    """Load and check a dataset. Photos are decoded once, into a store in the cache folder.

    Args:
        dataset: an instance of the plugin.
        data_dir: the user's data folder.
        photos: how photos are stored and cropped, or one number for their short side and the
            squares; images that come as arrays stay as they are.
        cache_dir: where decoded photos are kept; see `cache_folder`.
        on_progress: called with the number of photos decoded so far, and their total.

    Raises:
        DataError: data are missing, damaged or not as the dataset promises, or the photos can't be
            stored.
        ConfigError: there is nowhere to store photos, or the squares are larger than the photos.
        PluginError: the dataset breaks its contract.
    """
    with guarded(f"Loading {type(dataset).__name__}"):
        tables = dataset.load(data_dir)
    names = _SPLITS[dataset.evaluation]
    if set(tables) != set(names):
        raise PluginError(
            f"{type(dataset).__name__}.load returned the splits {sorted(tables)}; a dataset for "
            f"{dataset.evaluation} has {' and '.join(names)}."
        )
    class_names = _class_names(dataset, tables)
    splits = {name: _labelled(dataset, tables[name]) for name in names}
    for name, items in splits.items():
        _check_counts(dataset, name, items)
        _check_classes(dataset, name, items)
    if dataset.evaluation != "cross-validation":
        _check_disjoint(dataset, splits)
    if dataset.evaluation == "query-gallery":
        _check_shared(dataset, splits)
    photos = PhotoFormat(photos, photos) if isinstance(photos, int) else photos
    inputs = load_inputs(dataset, tables, photos, cache_dir, on_progress)
    called = item_names(tables)
    splits = {
        name: replace(items, inputs=inputs[name], names=called[name])
        for name, items in splits.items()
    }
    return Data(splits, class_names, _fingerprint(splits, class_names))


def _class_names(dataset: Dataset, tables: "Mapping[str, datasets.Dataset]") -> tuple[str, ...]:
    """Return the class names, which all splits must share: a label means the same in each."""
    import datasets

    found = set()
    for name, table in tables.items():
        feature = table.features.get("label")
        if not isinstance(feature, datasets.ClassLabel):
            raise PluginError(
                f"{type(dataset).__name__}: the split {name} has no column 'label' of type "
                f"ClassLabel; its columns are {', '.join(table.column_names)}."
            )
        found.add(tuple(feature.names))
    if len(found) > 1:
        raise PluginError(
            f"{type(dataset).__name__}: the splits name their classes differently; each must name "
            "all classes, in the same order."
        )
    return found.pop()


def _labelled(dataset: Dataset, table: "datasets.Dataset") -> Items:
    """Return the items of a split without their inputs."""
    column, name = dataset.modality, type(dataset).__name__
    if column not in table.column_names:
        raise PluginError(f"{name} has no column {column!r}.")
    if not len(table):
        raise DataError(f"{name} has a split without items.")
    labels = table.with_format("arrow")["label"][:].to_numpy()
    if labels.dtype.kind != "i" or labels.min() < 0:
        raise DataError(f"{name} has items without a label.")
    return Items(np.empty((len(table), 0)), labels.astype(np.int64), _groups(table, name))


def _groups(table: "datasets.Dataset", name: str) -> np.ndarray | None:
    if "group" not in table.column_names:
        return None
    groups = table.with_format("arrow")["group"][:].to_numpy()
    if groups.dtype.kind != "i" or groups.min() < 0:
        raise DataError(f"{name} has items without a group.")
    ids: np.ndarray = groups.astype(np.int64)
    return ids


def _check_counts(dataset: Dataset, split: str, items: Items) -> None:
    found = (len(items), len(np.unique(items.labels)))
    expected = dataset.expected.get(split, found)
    if found != tuple(expected):
        raise DataError(
            f"{type(dataset).__name__}: the split {split} has {found[0]} items in {found[1]} "
            f"classes, not {expected[0]} in {expected[1]}. Is it the complete official set?"
        )


def _check_classes(dataset: Dataset, split: str, items: Items) -> None:
    sizes = np.unique(items.labels, return_counts=True)[1]
    if len(sizes) < 2:
        raise DataError(
            f"{type(dataset).__name__}: the split {split} has "
            f"{counted(len(sizes), 'class', 'classes')}; at least two are needed."
        )
    if sizes.max() < 2 and split not in ("query", "gallery"):
        raise DataError(
            f"{type(dataset).__name__}: the split {split} has one item per class; at least one "
            "class needs two."
        )


def _check_disjoint(dataset: Dataset, splits: Mapping[str, Items]) -> None:
    for name, items in splits.items():
        shared = np.intersect1d(splits["train"].labels, items.labels)
        if name != "train" and len(shared) and not dataset.closed_set:
            raise DataError(
                f"{type(dataset).__name__}: {counted(len(shared), 'class', 'classes')} "
                f"{'is' if len(shared) == 1 else 'are'} in both train and {name}; retrieval of "
                "unseen classes needs disjoint splits."
            )


def _check_shared(dataset: Dataset, splits: Mapping[str, Items]) -> None:
    if not np.isin(splits["query"].labels, splits["gallery"].labels).any():
        raise DataError(
            f"{type(dataset).__name__}: no class is in both query and gallery; queries retrieve "
            "items of their own class from the gallery."
        )


def _fingerprint(splits: Mapping[str, Items], class_names: tuple[str, ...]) -> str:
    digest = sha256("\0".join(class_names).encode())
    for name, items in sorted(splits.items()):
        inputs = items.inputs.digests if isinstance(items.inputs, StoredPhotos) else items.inputs
        for array in (inputs, items.labels, items.groups):
            if array is None:
                continue
            digest.update(f"{name}{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
