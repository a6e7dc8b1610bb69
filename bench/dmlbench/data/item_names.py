"""What the items of a dataset are called: their files, where they come from files."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import datasets

_ROWS_AT_ONCE = 1024


def item_names(tables: "Mapping[str, datasets.Dataset]") -> dict[str, np.ndarray]:
    """Return a name for each item of each split ``[N]``, no two alike in a split.

    It is the path of its image below the folder that all images share, so that it is the same on
    every machine; ``test/17`` where not every image of the split has a path of its own.
    """
    paths = {split: _paths(table) for split, table in tables.items()}
    folders = {os.path.dirname(path) for found in paths.values() for path in found}
    shared = os.path.commonpath(folders) if folders and all(map(os.path.isabs, folders)) else ""
    start = len(os.path.join(shared, ""))
    return {
        split: np.array(
            [path[start:].replace(os.sep, "/") for path in paths[split]]
            or [f"{split}/{n}" for n in range(len(table))]
        )
        for split, table in tables.items()
    }


def _paths(table: "datasets.Dataset") -> list[str]:
    """Return the path of each image; none if some have no path, or share one."""
    import datasets
    import pyarrow.compute as pc

    if not isinstance(table.features.get("image"), datasets.Image):
        return []
    rows = table.select_columns(["image"]).with_format("arrow")
    found: list[str] = []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        images = rows[start : start + _ROWS_AT_ONCE]["image"]
        found += pc.struct_field(images, "path").to_pylist()  # without the bytes beside it
    names = [os.path.normpath(path) for path in found if path]
    return names if len(set(names)) == len(table) else []
