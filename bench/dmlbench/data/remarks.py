"""What is odd about a dataset and no error: whoever runs trials on it should know."""

from collections.abc import Mapping
from hashlib import sha256
from itertools import combinations

import numpy as np

from dmlbench.data.inputs import Inputs
from dmlbench.data.items import Data
from dmlbench.data.photos.pictures import StoredPhotos


def remarks(data: Data) -> tuple[str, ...]:
    """Return a sentence for each thing that is odd about a dataset: copies, faint 16-bit images.

    Images and vectors are compared by their bytes, photos by those of their files.
    """
    digests = {name: item_digests(items.inputs) for name, items in data.splits.items()}
    labels = {name: items.labels for name, items in data.splits.items()}
    photos = [i.inputs for i in data.splits.values() if isinstance(i.inputs, StoredPhotos)]
    depths = np.concatenate([some.depths for some in photos]) if photos else np.empty((0, 2), bool)
    return (*copies(digests, labels), *faint(depths))


def copies(digests: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Return a sentence for each pair of splits that share items, and one for classes that do.

    >>> same = np.zeros((1, 32), dtype=np.uint8)
    >>> copies({"train": same, "test": same}, {"train": np.array([0]), "test": np.array([1])})[1]
    '2 of 2 items have an exact copy in another class: one of their labels is wrong.'

    Args:
        digests: hashes of the items of each split ``[N, 32]`` uint8.
        labels: their class ids ``[N]``.
    """
    keys = {name: [digest.tobytes() for digest in some] for name, some in digests.items()}
    found = []
    for (one, some), (other, others) in combinations(keys.items(), 2):
        known = set(some)
        if count := sum(key in known for key in others):
            copies = "is an exact copy of an item" if count == 1 else "are exact copies of items"
            found.append(f"{count:,} of {len(others):,} items of {other} {copies} of {one}.")
    classes: dict[bytes, set[int]] = {}
    for name, some in keys.items():
        for key, label in zip(some, labels[name].tolist(), strict=True):
            classes.setdefault(key, set()).add(label)
    if count := sum(len(classes[key]) > 1 for some in keys.values() for key in some):
        found.append(
            f"{count:,} of {sum(map(len, keys.values())):,} items have an exact copy in another "
            "class: one of their labels is wrong."
        )
    return tuple(found)


def faint(depths: np.ndarray) -> tuple[str, ...]:
    """Return a sentence if 16-bit images use little of their range, of which 8 bits are kept.

    Args:
        depths: whether an image has 16 bits, and whether it uses less than an eighth of their range
            ``[N, 2]`` bool.
    """
    deep, few = depths.sum(axis=0).tolist()
    if not few:
        return ()
    return (
        f"{few:,} of {deep:,} 16-bit images use less than an eighth of their range: of the 256 "
        "levels kept, fewer than 32 tell their pixels apart. Scale them to the full range first.",
    )


def item_digests(inputs: Inputs) -> np.ndarray:
    """Return a hash of each item, equal where their bytes are ``[N, 32]`` uint8."""
    if isinstance(inputs, StoredPhotos):
        return inputs.digests
    rows = np.ascontiguousarray(inputs).reshape(len(inputs), -1)
    hashes = b"".join(sha256(row.data).digest() for row in rows)
    return np.frombuffer(hashes, dtype=np.uint8).reshape(-1, 32)
