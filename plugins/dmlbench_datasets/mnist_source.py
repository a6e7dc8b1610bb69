"""Where MNIST's arrays come from: the four official IDX files, or else the Hugging Face hub.

Both are checked against the same md5 sums, so they give the same arrays to the bit.
"""

import hashlib
from pathlib import Path

import numpy as np

from dmlbench import DataError
from dmlbench_datasets.idx import parse_idx, read_bytes, to_idx

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
MD5 = {  # of the unpacked files, since one content can be packed in many ways
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
HUB_ID = "ylecun/mnist"
HUB_REVISION = "77f3279092a1c1579b2250db8eafed0ad422088c"

FOUR_FILES = f"the four IDX files ({', '.join(MD5)}; .gz or unpacked)"


def missing(data_dir: Path | None) -> str | None:
    """Return None if MNIST lies on this machine, else how to get it. Uses no network."""
    files = _idx_files(data_dir)
    if files:
        return _incomplete(files)
    if _in_hub_cache():
        return None
    return (
        f"MNIST is not on this machine. Put {FOUR_FILES} into the data folder"
        f"{f' {data_dir}' if data_dir else ''}, or into mnist/ or MNIST/raw/ within it; or fetch "
        "it from the Hugging Face hub (18 MB): python -c 'import datasets; "
        f'datasets.load_dataset("{HUB_ID}", revision="{HUB_REVISION}")\''
    )


def read(data_dir: Path | None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return images ``[N, 28, 28]`` and labels ``[N]``, both uint8, of ``train`` and ``test``.

    Files in `data_dir` come first; without any, the hub's local cache, then the network.

    Raises:
        DataError: a file is absent, damaged or not the official one; the hub can't be reached.
    """
    files = _idx_files(data_dir)
    if not files:
        return {half: _from_hub(half) for half in FILES}
    if absent := _incomplete(files):
        raise DataError(absent)
    return {
        half: (
            _verified(read_bytes(files[images]), images, str(files[images])),
            _verified(read_bytes(files[labels]), labels, str(files[labels])),
        )
        for half, (images, labels) in FILES.items()
    }


def _idx_files(data_dir: Path | None) -> dict[str, Path]:
    """Return the path of each official file, from the first folder that has any."""
    if data_dir is None:
        return {}
    for folder in (data_dir, data_dir / "mnist", data_dir / "MNIST" / "raw"):
        found = {
            name: path
            for name in MD5
            for path in (folder / f"{name}.gz", folder / name)
            if path.is_file()
        }
        if found:
            return found
    return {}


def _incomplete(files: dict[str, Path]) -> str | None:
    absent = [name for name in MD5 if name not in files]
    if not absent:
        return None
    folder = next(iter(files.values())).parent
    return f"MNIST is incomplete in {folder}: put {', '.join(absent)} there, .gz or unpacked."


def _from_hub(half: str) -> tuple[np.ndarray, np.ndarray]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    try:
        items = load_dataset(HUB_ID, revision=HUB_REVISION, split=half)
        pixels = b"".join(image.tobytes() for image in items["image"])
        digits = bytes(items["label"])
    except (OSError, ValueError, KeyError, DatasetsError) as error:
        raise DataError(
            f"Can't get MNIST from the Hugging Face hub ({HUB_ID}): {error}. Go online, or put "
            f"{FOUR_FILES} into the data folder."
        ) from error
    image_file, label_file = FILES[half]
    images, labels = to_idx(pixels, len(digits), 28, 28), to_idx(digits, len(digits))
    return (
        _verified(images, image_file, f"The column of {half} images in {HUB_ID}"),
        _verified(labels, label_file, f"The column of {half} labels in {HUB_ID}"),
    )


def _in_hub_cache() -> bool:
    """Say whether `datasets` has prepared the set here before: it then loads without network."""
    from datasets import config

    prepared = Path(config.HF_DATASETS_CACHE) / HUB_ID.replace("/", "___")
    return any(prepared.glob("*/*/*/dataset_info.json"))


def _verified(content: bytes, name: str, source: str) -> np.ndarray:
    array = parse_idx(content, source)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != MD5[name]:
        raise DataError(
            f"{source} is not MNIST's official {name}: md5 {md5} unpacked, not {MD5[name]}. "
            "Delete it and fetch it again."
        )
    return array
