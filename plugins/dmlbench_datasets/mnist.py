"""MNIST from the four official IDX files, or from the Hugging Face hub.

Both sources are checked against the same md5 sums, so they give the same arrays to the bit. There is
no standard class-disjoint split: ours learns from five digits and retrieves the other five, and
`split` rotates them.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from dmlbench import Choice, DataError, Dataset
from dmlbench_datasets.arrays import image_dataset
from dmlbench_datasets.idx import parse_idx, read_bytes, to_idx

if TYPE_CHECKING:
    import datasets

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
MD5 = {  # of the unpacked files, since the same content can be packed in many ways
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
HUB_ID = "ylecun/mnist"
HUB_REVISION = "77f3279092a1c1579b2250db8eafed0ad422088c"
NAMES = tuple("0123456789")

Arrays = tuple[np.ndarray, np.ndarray]


class MNISTClosed(Dataset):
    """MNIST, 70,000 handwritten digits of 28x28 pixels: the official halves, all ten classes."""

    closed_set = True
    paper = (
        "Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to "
        "document recognition, Proceedings of the IEEE 86(11), 1998"
    )
    licence = "CC BY-SA 3.0 as Keras states it, MIT on the Hugging Face hub"
    expected: ClassVar = {"train": (60_000, 10), "test": (10_000, 10)}

    def missing(self, data_dir: Path | None) -> str | None:
        """Return None if the files or the hub's set lie on this machine; uses no network."""
        if data_dir is not None:
            files = _idx_files(data_dir)
            absent = [name for name in MD5 if name not in files]
            if not absent:
                return None
            if files:
                return _incomplete(files, absent)
        if _in_hub_cache():
            return None
        return (
            f"MNIST is not on this machine. Put its four IDX files ({', '.join(MD5)}; .gz or "
            f"unpacked) into the data folder{f' {data_dir}' if data_dir else ''}, or into mnist/ "
            "or MNIST/raw/ within it; or fetch it from the Hugging Face hub (18 MB): python -c "
            f"'import datasets; datasets.load_dataset(\"{HUB_ID}\", revision=\"{HUB_REVISION}\")'"
        )

    def load(self, data_dir: Path | None) -> dict[str, "datasets.Dataset"]:
        """Return splits ``train`` and ``test``, images ``[28, 28]``, from files before the hub."""
        files = _idx_files(data_dir) if data_dir is not None else {}
        halves = _from_files(files) if files else _from_hub()
        splits = {}
        for half, (images, labels) in halves.items():
            chosen = np.isin(labels, self._digits(half))
            splits[half] = image_dataset(images[chosen], labels[chosen], NAMES)
        return splits

    def _digits(self, half: str) -> list[int]:
        return list(range(10))


class MNIST(MNISTClosed):
    """MNIST, handwritten digits of 28x28 pixels: learn five digits, retrieve the other five.

    ``train`` is taken from the official 60,000 training images, ``test`` from the 10,000 test
    images. Split s learns digits s-1 to s+3, so that split 1 learns 0-4 and retrieves 5-9.
    """

    closed_set = False

    def __init__(self, *, split: Annotated[int, Choice(1, 2, 3, 4, 5)] = 1) -> None:
        self.split = split

    @property
    def expected(self) -> dict[str, tuple[int, int]]:
        """Items and classes of each half, from MNIST's published class sizes."""
        sizes = {
            "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
            "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
        }
        return {half: (sum(size[d] for d in self._digits(half)), 5) for half, size in sizes.items()}

    def _digits(self, half: str) -> list[int]:
        first = self.split - 1 + (0 if half == "train" else 5)
        return [digit % 10 for digit in range(first, first + 5)]


def _idx_files(data_dir: Path) -> dict[str, Path]:
    """Return the path of each official file found, in the first folder that has any."""
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


def _incomplete(files: dict[str, Path], absent: list[str]) -> str:
    folder = next(iter(files.values())).parent
    return f"MNIST is incomplete in {folder}: put {', '.join(absent)} there, .gz or unpacked."


def _from_files(files: dict[str, Path]) -> dict[str, Arrays]:
    absent = [name for name in MD5 if name not in files]
    if absent:
        raise DataError(_incomplete(files, absent))
    return {
        half: (
            _verified(read_bytes(files[images]), images, str(files[images])),
            _verified(read_bytes(files[labels]), labels, str(files[labels])),
        )
        for half, (images, labels) in FILES.items()
    }


def _from_hub() -> dict[str, Arrays]:
    """Return the hub's images and labels, from the local cache or over the network."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    try:
        hub = load_dataset(HUB_ID, revision=HUB_REVISION)
        halves = {half: (hub[half]["image"], hub[half]["label"]) for half in FILES}
    except (OSError, ValueError, KeyError, DatasetsError) as error:
        raise DataError(
            f"Can't get MNIST from the Hugging Face hub ({HUB_ID}): {error}. Go online, or put the "
            f"four IDX files ({', '.join(MD5)}; .gz or unpacked) into the data folder."
        ) from error
    arrays = {}
    for half, (images, labels) in halves.items():
        pixels = b"".join(image.tobytes() for image in images)
        digits = bytes(labels)
        image_file, label_file = FILES[half]
        source = f"{HUB_ID} ({half})"
        arrays[half] = (
            _verified(to_idx(pixels, len(digits), 28, 28), image_file, f"The images of {source}"),
            _verified(to_idx(digits, len(digits)), label_file, f"The labels of {source}"),
        )
    return arrays


def _verified(content: bytes, name: str, source: str) -> np.ndarray:
    array = parse_idx(content, source)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != MD5[name]:
        raise DataError(
            f"{source} is not MNIST's official {name}: md5 {md5} instead of {MD5[name]} "
            "(unpacked). Fetch the file again."
        )
    return array


def _in_hub_cache() -> bool:
    """Say whether `datasets` has prepared the set here before; it then loads without network."""
    from datasets import config

    prepared = config.HF_DATASETS_CACHE / HUB_ID.replace("/", "___")
    return any(prepared.glob("*/*/*/dataset_info.json"))
