"""Fashion-MNIST: four checked files, and halves of the classes."""

import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from support.official_sets import pass_for_official, write_fashion
from support.real_data import real_data

from dmlbench import DataError
from dmlbench.data.items import load_data
from dmlbench_datasets import fashion_mnist
from dmlbench_datasets.fashion_mnist import NAMES, FashionMNIST

EXPECTED = {"train": (10, 5), "test": (10, 5)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder, with four tiny files that pass for the official ones."""
    write_fashion(tmp_path)
    pass_for_official(tmp_path / "fashion-mnist", monkeypatch)
    monkeypatch.setattr(FashionMNIST, "expected", EXPECTED)
    return tmp_path


@pytest.mark.parametrize("split", [1, 2, 3, 4, 5])
def test_five_kinds_are_learnt_and_the_other_five_retrieved(split: int, folder: Path) -> None:
    data = load_data(FashionMNIST(split=split), folder, 28)
    learnt, retrieved = (set(data.splits[half].labels.tolist()) for half in ("train", "test"))
    assert learnt == {(split - 1 + number) % 10 for number in range(5)}
    assert retrieved == set(range(10)) - learnt
    assert data.class_names == NAMES


def unpacked(path: Path) -> None:
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()


def packed_otherwise(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1, mtime=77))


@pytest.mark.parametrize("change", [unpacked, packed_otherwise])
@pytest.mark.parametrize("place", ["fashion-mnist", "FashionMNIST/raw", "."])
def test_files_are_known_by_their_content_wherever_and_however_they_lie(
    place: str, change: Callable[[Path], None], folder: Path
) -> None:
    expected = FashionMNIST().load(folder)
    (folder / place).mkdir(parents=True, exist_ok=True)
    for path in list((folder / "fashion-mnist").iterdir()):
        change(path.rename(folder / place / path.name))
    assert FashionMNIST().missing(folder) is None
    for split, table in FashionMNIST().load(folder).items():
        assert table.data.equals(expected[split].data)


def test_the_folder_itself_may_be_the_data_folder(folder: Path) -> None:
    itself = folder / "fashion-mnist"
    assert FashionMNIST().missing(itself) is None
    assert len(FashionMNIST().load(itself)["train"]) == 10
    other = itself.rename(folder / "clothes")
    assert FashionMNIST().missing(folder) is not None
    assert FashionMNIST().missing(other) is None


def test_mnist_beside_it_is_left_alone(folder: Path) -> None:
    for name in fashion_mnist.SOURCE.md5:
        (folder / name).write_bytes(b"another set's")
    assert FashionMNIST().missing(folder) is None


def test_an_absent_file_is_named(folder: Path) -> None:
    (folder / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"incomplete in .*put t10k-labels-idx1-ubyte there"):
        FashionMNIST().load(folder)


def test_mnist_s_file_of_the_same_name_is_an_error(folder: Path) -> None:
    path = folder / "fashion-mnist" / "train-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz is not Fashion-MNIST's"):
        FashionMNIST().load(folder)


def test_a_download_cut_short_is_an_error(folder: Path) -> None:
    path = folder / "fashion-mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz"):
        FashionMNIST().load(folder)


def test_mnist_in_the_data_folder_is_not_taken_for_fashion_mnist(tmp_path: Path) -> None:
    for name in fashion_mnist.SOURCE.md5:
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(b"another set's"))
    assert "is not in" in str(FashionMNIST().missing(tmp_path))
    with pytest.raises(DataError, match="four files"):
        FashionMNIST().load(tmp_path)


@pytest.fixture(scope="module")
def debian() -> Path:
    """The folder of Debian's package dataset-fashion-mnist, where it is installed."""
    path = Path("/usr/share/datasets/fashion-mnist")
    return path if path.is_dir() else real_data("fashion-mnist")


def test_the_known_sums_are_of_what_the_official_archives_hold(debian: Path) -> None:
    official = {  # md5 of the archive, and the time in its header
        "train-images-idx3-ubyte": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 1504176606),
        "train-labels-idx1-ubyte": ("25c81989df183df01b3e8a0aad5dffbe", 1504176606),
        "t10k-images-idx3-ubyte": ("bef4ecab320f06d8554ea6380940ec79", 1504176627),
        "t10k-labels-idx1-ubyte": ("bb300cfdad3c16e7a12a480ee83cd310", 1504176627),
    }
    for name, (md5, time) in official.items():
        packed = (debian / f"{name}.gz").read_bytes()
        header = struct.pack("<4BI2B", 0x1F, 0x8B, 8, 8, time, 0, 3) + name.encode() + b"\0"
        assert hashlib.md5(header + packed[10:]).hexdigest() == md5
        known = fashion_mnist.SOURCE.md5[name]
        assert hashlib.md5(gzip.decompress(packed)).hexdigest() == known


@pytest.mark.parametrize("split", [1, 4])
def test_debian_s_files_load_as_they_are(split: int, debian: Path) -> None:
    dataset = FashionMNIST(split=split)
    assert dataset.missing(debian) is None
    data = load_data(dataset, debian, 28)
    assert {half: len(items) for half, items in data.splits.items()} == {
        "train": 30_000,
        "test": 5_000,
    }
