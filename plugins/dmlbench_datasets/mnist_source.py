"""Where MNIST's arrays come from: the four official IDX files, or else the Hugging Face hub.

Both are checked against the same md5 sums, so they give the same arrays to the bit.
"""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmlbench import DataError
from dmlbench_datasets import hub_snapshot
from dmlbench_datasets.idx import to_idx
from dmlbench_datasets.idx_set import FILES, IdxSet

if TYPE_CHECKING:
    import datasets

SOURCE = IdxSet(
    title="MNIST",
    folders=("mnist", "MNIST/raw"),
    md5={
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
)
HUB_ID = "ylecun/mnist"
HUB_REVISION = "77f3279092a1c1579b2250db8eafed0ad422088c"
PATTERNS = {half: f"mnist/{half}-*.parquet" for half in FILES}

FOUR_FILES = f"the four IDX files ({', '.join(SOURCE.md5)}; .gz or unpacked)"


def missing(data_dir: Path | None) -> str | None:
    """Return None if MNIST lies on this machine, else how to get it. Uses no network."""
    if files := SOURCE.files(data_dir):
        return SOURCE.incomplete(files)
    if hub_snapshot.cached(HUB_ID, HUB_REVISION, PATTERNS) or _prepared():
        return None
    command = hub_snapshot.command(HUB_ID, HUB_REVISION, PATTERNS)
    return (
        f"MNIST is not on this machine. Put {FOUR_FILES} into the data folder"
        f"{f' {data_dir}' if data_dir else ''}, or into mnist/ or MNIST/raw/ within it; or fetch "
        f"it from the Hugging Face hub (18 MB): {command}"
    )


def read(data_dir: Path | None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return images ``[N, 28, 28]`` and labels ``[N]``, both uint8, of ``train`` and ``test``.

    Files in `data_dir` come first; without any, the hub's local cache, then the network.

    Raises:
        DataError: a file is absent, damaged or not the official one; the hub can't be reached.
    """
    if files := SOURCE.files(data_dir):
        return SOURCE.read(files)
    otherwise = f"put {FOUR_FILES} into the data folder"
    tables = _prepared() or hub_snapshot.read(HUB_ID, HUB_REVISION, PATTERNS, otherwise)
    return {half: _arrays(half, tables[half]) for half in FILES}


def _arrays(half: str, items: "datasets.Dataset") -> tuple[np.ndarray, np.ndarray]:
    try:
        pixels = b"".join(image.tobytes() for image in items["image"])
        digits = bytes(items["label"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"The copy of MNIST from {HUB_ID} can't be read: {error}.") from error
    image_file, label_file = FILES[half]
    images, labels = to_idx(pixels, len(digits), 28, 28), to_idx(digits, len(digits))
    return (
        SOURCE.verified(images, image_file, f"The column of {half} images in {HUB_ID}"),
        SOURCE.verified(labels, label_file, f"The column of {half} labels in {HUB_ID}"),
    )


def _prepared() -> "dict[str, datasets.Dataset]":
    """Return the halves that `datasets.load_dataset` has prepared here before, or nothing.

    They are opened where they lie: `load_dataset` itself would ask the network for news.
    """
    from datasets import Dataset, config

    folder = Path(config.HF_DATASETS_CACHE) / HUB_ID.replace("/", "___")
    for finished in folder.glob("*/*/*/dataset_info.json"):
        paths = {half: finished.with_name(f"mnist-{half}.arrow") for half in FILES}
        with suppress(OSError, ValueError):  # absent or damaged
            return {half: Dataset.from_file(str(path)) for half, path in paths.items()}
    return {}
