"""A dataset's splits: arrays in memory or stored photos, checked against what it promises."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmlbench.contracts.components import Dataset
from dmlbench.data.inputs import Inputs, load_inputs
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
"""Photos that are in memory as arrays at once."""


@dataclass(frozen=True)
class Items:
    """Labelled items of one split. Trials share them, so nobody may write to labels or groups.

    Attributes:
        inputs: images ``[N, C, H, W]`` uint8, stored photos that stand for such an array, or
            vectors ``[N, D]`` float32.
        labels: class ids ``[N]`` int64.
        groups: super-class ids ``[N]`` int64, where the dataset has them.
    """

    inputs: Inputs
    labels: np.ndarray
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", _read_only(self.labels))
        if self.groups is not None:
            object.__setattr__(self, "groups", _read_only(self.groups))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: np.ndarray) -> "Items":
        groups = None if self.groups is None else self.groups[index]
        return Items(self.inputs[index], self.labels[index], groups)

    def flat(self) -> np.ndarray:
        """Return each item as one row ``[N, D]`` float32, a copy: pixels in 0-1, or the vector."""
        inputs = self.inputs.centre() if isinstance(self.inputs, StoredPhotos) else self.inputs
        rows = inputs.reshape(len(self), -1).astype(np.float32)
        if inputs.dtype == np.uint8:
            rows /= 255
        return rows

    def blocks(self) -> Iterator["Items"]:
        """Yield all items in order: arrays at once, photos in parts that fit in memory."""
        if not isinstance(self.inputs, StoredPhotos):
            yield self
            return
        for start in range(0, len(self), BLOCK):
            yield self[np.arange(start, min(start + BLOCK, len(self)))]


def _read_only(array: np.ndarray) -> np.ndarray:
    """Return a view of `array` that can't be written to."""
    view = array.view()
    view.setflags(write=False)
    return view


@dataclass(frozen=True)
class Data:
    """The splits of a dataset, and the fingerprint of their content."""

    splits: Mapping[str, Items]
    class_names: tuple[str, ...]
    fingerprint: str
    initial_weights: str = ""
    """Hash of the weights of the frozen backbone whose features they are; empty if they are not."""


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
        dataset: the plugin's object.
        data_dir: the user's data folder.
        photos: how photos are kept and what is seen of them, or the side of both; images that come
            as arrays stay as they are.
        cache_dir: where decoded photos are kept; see `cache_folder`.
        on_progress: told how many photos are decoded, of how many.

    Raises:
        DataError: data are missing, damaged, or other than the dataset promises; or the photos
            can't be stored.
        ConfigError: there is no place to store them, or squares would be larger than the photos.
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
    splits = {name: replace(items, inputs=inputs[name]) for name, items in splits.items()}
    return Data(splits, class_names, _fingerprint(splits, class_names))


def _class_names(dataset: Dataset, tables: "Mapping[str, datasets.Dataset]") -> tuple[str, ...]:
    """Return the class names, which all splits must share: a label means the same in each."""
    import datasets

    found = set()
    for name, table in tables.items():
        feature = table.features.get("label")
        if not isinstance(feature, datasets.ClassLabel):
            raise PluginError(
                f"{type(dataset).__name__}: the split {name} has no column 'label' of the type "
                f"ClassLabel; its columns are {', '.join(table.column_names)}."
            )
        found.add(tuple(feature.names))
    if len(found) > 1:
        raise PluginError(
            f"{type(dataset).__name__}: the splits name their classes differently; each must name "
            "all classes, in one order."
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
            f"classes, expected are {expected[0]} in {expected[1]}. Is it the official set, whole?"
        )


def _check_classes(dataset: Dataset, split: str, items: Items) -> None:
    sizes = np.unique(items.labels, return_counts=True)[1]
    if len(sizes) < 2:
        raise DataError(
            f"{type(dataset).__name__}: the split {split} has {len(sizes)} class(es); at least two "
            "are needed to tell apart."
        )
    if sizes.max() < 2 and split not in ("query", "gallery"):
        raise DataError(
            f"{type(dataset).__name__}: the split {split} has one item a class; at least one class "
            "needs two."
        )


def _check_disjoint(dataset: Dataset, splits: Mapping[str, Items]) -> None:
    for name, items in splits.items():
        shared = np.intersect1d(splits["train"].labels, items.labels)
        if name != "train" and len(shared) and not dataset.closed_set:
            raise DataError(
                f"{type(dataset).__name__}: {len(shared)} classes are in train and in {name}; "
                "retrieval of unseen classes needs them disjoint."
            )


def _check_shared(dataset: Dataset, splits: Mapping[str, Items]) -> None:
    if not np.isin(splits["query"].labels, splits["gallery"].labels).any():
        raise DataError(
            f"{type(dataset).__name__}: no class is both in query and in gallery; queries retrieve "
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
