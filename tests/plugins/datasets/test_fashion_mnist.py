"""Fashion-MNIST: four checked files, and halves of the classes."""

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from support.official_sets import write_fashion

from dmlbench import DataError
from dmlbench.data.items import load_data
from dmlbench_datasets import fashion_mnist
from dmlbench_datasets.fashion_mnist import NAMES, FashionMNIST

EXPECTED = {"train": (10, 5), "test": (10, 5)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder, with four tiny files that pass for the official ones."""
    write_fashion(tmp_path)
    archives = []
    for archive in fashion_mnist.ARCHIVES:
        content = (tmp_path / "fashion-mnist" / archive.name).read_bytes()
        archives.append(
            replace(archive, size=len(content), md5=hashlib.md5(content).hexdigest(), sha256="")
        )
    monkeypatch.setattr(fashion_mnist, "ARCHIVES", tuple(archives))
    monkeypatch.setattr(FashionMNIST, "expected", EXPECTED)
    return tmp_path


@pytest.mark.parametrize("split", [1, 2, 3, 4, 5])
def test_five_kinds_are_learnt_and_the_other_five_retrieved(split: int, folder: Path) -> None:
    data = load_data(FashionMNIST(split=split), folder, 28)
    learnt, retrieved = (set(data.splits[half].labels.tolist()) for half in ("train", "test"))
    assert learnt == {(split - 1 + number) % 10 for number in range(5)}
    assert retrieved == set(range(10)) - learnt
    assert data.class_names == NAMES


@pytest.mark.parametrize("place", ["FashionMNIST/raw", "."])
def test_files_are_found_in_other_places_too(place: str, folder: Path) -> None:
    (folder / place).mkdir(parents=True, exist_ok=True)
    for path in (folder / "fashion-mnist").iterdir():
        path.rename(folder / place / path.name)
    assert FashionMNIST().missing(folder) is None
    assert len(FashionMNIST().load(folder)["train"]) == 10


def test_an_absent_file_is_named(folder: Path) -> None:
    (folder / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"incomplete in .*t10k-labels-idx1-ubyte\.gz must be"):
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
    for archive in fashion_mnist.ARCHIVES:
        (tmp_path / archive.name).write_bytes(b"a file of another size")
    assert "is not in" in str(FashionMNIST().missing(tmp_path))
    with pytest.raises(DataError, match="four files"):
        FashionMNIST().load(tmp_path)
