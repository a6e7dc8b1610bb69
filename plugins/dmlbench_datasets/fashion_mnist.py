"""Fashion-MNIST, class-disjoint: learn five kinds of clothes, retrieve the other five.

As with MNIST, there is no standard class-disjoint split: ours rotates, see `split`. The four IDX
files have the names of MNIST's, so a folder that holds MNIST is told by its checksums and refused.
Of the hub's copies neither a revision nor a checksum of the pixels is known, so there is no path by
the hub.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from dmlbench import Archive, Choice, DataError, Dataset
from dmlbench_datasets.arrays import image_dataset
from dmlbench_datasets.idx import parse_idx, read_bytes

if TYPE_CHECKING:
    import datasets

NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
HOME = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
ARCHIVES = (
    Archive(
        "train-images-idx3-ubyte.gz",
        size=26_421_880,
        md5="8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        sha256="3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        homes=(f"{HOME}/train-images-idx3-ubyte.gz",),
    ),
    Archive(
        "train-labels-idx1-ubyte.gz",
        size=29_515,
        md5="25c81989df183df01b3e8a0aad5dffbe",
        sha256="a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        homes=(f"{HOME}/train-labels-idx1-ubyte.gz",),
    ),
    Archive(
        "t10k-images-idx3-ubyte.gz",
        size=4_422_102,
        md5="bef4ecab320f06d8554ea6380940ec79",
        sha256="346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        homes=(f"{HOME}/t10k-images-idx3-ubyte.gz",),
    ),
    Archive(
        "t10k-labels-idx1-ubyte.gz",
        size=5_148,
        md5="bb300cfdad3c16e7a12a480ee83cd310",
        sha256="67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        homes=(f"{HOME}/t10k-labels-idx1-ubyte.gz",),
    ),
)


class FashionMNIST(Dataset):
    """Fashion-MNIST, 28x28 pictures of clothes: learn five kinds, retrieve the other five.

    ``train`` is taken from the official 60,000 training images, ``test`` from the 10,000 test
    images. Split s learns classes s-1 to s+3: split 1 learns 0-4 and retrieves 5-9.
    """

    paper = (
        "H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking "
        "machine learning algorithms, 2017, arXiv 1708.07747"
    )
    licence = "MIT"
    expected: ClassVar = {"train": (30_000, 5), "test": (5_000, 5)}
    archives = ARCHIVES

    def __init__(self, *, split: Annotated[int, Choice(1, 2, 3, 4, 5)] = 1) -> None:
        self.split = split

    def missing(self, data_dir: Path | None) -> str | None:
        """Return None if the four files are there, else how to get them."""
        folder = _folder(data_dir)
        if folder is None:
            where = f"in {data_dir}" if data_dir else "here: name your data folder by --data-dir"
            return (
                f"Fashion-MNIST is not {where}. Put its four files ({', '.join(_names())}) into "
                f"fashion-mnist/ within the data folder; they were to be had at {HOME}."
            )
        absent = [name for name in _names() if not (folder / name).is_file()]
        if absent:
            return f"Fashion-MNIST is incomplete in {folder}: {', '.join(absent)} must be there."
        return None

    def load(self, data_dir: Path | None) -> dict[str, "datasets.Dataset"]:
        """Return splits ``train`` and ``test``, images ``[28, 28]``.

        Raises:
            DataError: a file is absent, damaged or not the official one.
        """
        if absent := self.missing(data_dir):
            raise DataError(absent)
        folder = _folder(data_dir)
        assert folder is not None
        splits = {}
        for place, (half, files) in enumerate(FILES.items()):
            images, labels = (parse_idx(_official(folder / name), name) for name in files)
            classes = [(self.split - 1 + 5 * place + number) % 10 for number in range(5)]
            chosen = np.isin(labels, classes)
            splits[half] = image_dataset(images[chosen], labels[chosen], NAMES)
        return splits


def _names() -> list[str]:
    return [archive.name for archive in ARCHIVES]


def _folder(data_dir: Path | None) -> Path | None:
    """Return the first folder that holds the set; files beside others may be MNIST's."""
    if data_dir is None:
        return None
    for folder in (data_dir / "fashion-mnist", data_dir / "FashionMNIST" / "raw"):
        if any((folder / name).is_file() for name in _names()):
            return folder
    sizes = {path.name: path.stat().st_size for path in data_dir.glob("*-ubyte.gz")}
    ours = [archive for archive in ARCHIVES if sizes.get(archive.name) == archive.size]
    return data_dir if ours else None


def _official(path: Path) -> bytes:
    """Return a file's content, unpacked, after a look at its checksum.

    Raises:
        DataError: it is damaged, or another file, such as MNIST's of the same name.
    """
    (archive,) = (archive for archive in ARCHIVES if archive.name == path.name)
    content = read_bytes(path)
    md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    if md5 != archive.md5:
        raise DataError(
            f"{path} is not Fashion-MNIST's official file: md5 {md5}, not {archive.md5}. MNIST's "
            "files have the same names; put Fashion-MNIST's into fashion-mnist/."
        )
    return content
