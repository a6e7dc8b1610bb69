"""MNIST: the IDX reader, the two sources, and the class splits."""

import gzip
import hashlib
import io
import socket
import struct
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import datasets
import numpy as np
import pytest
from datasets.packaged_modules.parquet.parquet import Parquet
from huggingface_hub import constants
from PIL import Image
from support.real_data import real_data

from dmlbench import DataError, Dataset
from dmlbench_datasets import mnist_source
from dmlbench_datasets.idx import parse_idx, read_bytes, to_idx
from dmlbench_datasets.mnist import MNIST, NAMES, MNISTClosed

IMAGES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
LABELS = {"train": "train-labels-idx1-ubyte", "test": "t10k-labels-idx1-ubyte"}


def arrays(splits: dict[str, datasets.Dataset]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    items = {split: table.with_format("numpy")[:] for split, table in splits.items()}
    return {split: (columns["image"], columns["label"]) for split, columns in items.items()}


def test_an_idx_file_is_read_as_its_header_says() -> None:
    content = bytes.fromhex("00000802 00000002 00000003 010203040506")
    np.testing.assert_array_equal(parse_idx(content, "file"), [[1, 2, 3], [4, 5, 6]])
    assert to_idx(bytes([1, 2, 3, 4, 5, 6]), 2, 3) == content


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "not an IDX file"),
        ("0000", "not an IDX file"),
        ("1f8b0800 00000000", "not an IDX file"),
        ("00000d01 00000001 00000000", "not an IDX file of uint8"),
        ("00000800", "not an IDX file"),
        ("00000802 00000002 0000", "within its IDX header"),
        ("00000802 00000002 00000003 0102030405", r"5 bytes of data.*2 x 3.*6"),
        ("00000802 00000002 00000003 01020304050607", r"7 bytes of data"),
        ("00000803 ffffffff ffffffff ffffffff 01", r"1 bytes of data"),
    ],
)
def test_bytes_that_are_no_sound_idx_are_an_error(content: str, problem: str) -> None:
    with pytest.raises(DataError, match=f"the file.*{problem}"):
        parse_idx(bytes.fromhex(content), "the file")


@pytest.mark.parametrize("damage", ["absent", "cut short", "not gzip", "overwritten", "folder"])
def test_a_damaged_gzip_file_is_an_error_that_names_it(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.gz"
    packed = gzip.compress(np.random.default_rng(0).bytes(5000))
    if damage == "folder":
        path.mkdir()
    elif damage != "absent":
        overwritten = packed[:2000] + bytes(500) + packed[2500:]
        content = {"cut short": packed[:-500], "not gzip": b"labels", "overwritten": overwritten}
        path.write_bytes(content[damage])
    with pytest.raises(DataError, match=r"labels\.gz"):
        read_bytes(path)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Four small IDX files, by name, that take the place of the official ones."""
    rng = np.random.default_rng(0)
    files = {}
    for split, count in (("train", 40), ("test", 20)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        header = struct.pack(">4I", 2051, count, 28, 28)
        files[IMAGES[split]] = header + images.tobytes()
        files[LABELS[split]] = struct.pack(">2I", 2049, count) + labels.tobytes()
    sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(mnist_source, "SOURCE", replace(mnist_source.SOURCE, md5=sums))
    return files


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of Hugging Face's; whoever opens a connection fails."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "arrow")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return folder


def refuse(*_: object) -> NoReturn:
    raise ConnectionRefusedError("no network here")


def write(files: dict[str, bytes], folder: Path, packed: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)


def write_hub(files: dict[str, bytes], cache: Path) -> Path:
    """Put the repository into the hub's cache: PNG images and labels in one Parquet a split."""
    repository = cache / "hub" / "datasets--ylecun--mnist" / "snapshots" / mnist_source.HUB_REVISION
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=list(NAMES))
    )
    for split in ("train", "test"):
        pixels = np.frombuffer(files[IMAGES[split]], np.uint8, offset=16).reshape(-1, 28, 28)
        pngs = []
        for image in pixels:
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG", compress_level=1)
            pngs.append({"bytes": buffer.getvalue(), "path": None})
        table = datasets.Dataset.from_dict(
            {"image": pngs, "label": list(files[LABELS[split]][8:])}, features=features
        )
        path = repository / "mnist" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(path)
    return repository


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("folder", ["", "mnist", "MNIST/raw"])
def test_files_are_found_packed_or_not_in_three_places(
    folder: str, packed: bool, small: dict[str, bytes], tmp_path: Path
) -> None:
    write(small, tmp_path / folder, packed)
    assert MNISTClosed().missing(tmp_path) is None
    for split, (images, labels) in arrays(MNISTClosed().load(tmp_path)).items():
        assert images.shape[1:] == (28, 28)
        assert images.astype(np.uint8).tobytes() == small[IMAGES[split]][16:]
        assert labels.astype(np.uint8).tobytes() == small[LABELS[split]][8:]


@pytest.mark.parametrize("dataset", [MNISTClosed(), MNIST(split=3)])
def test_hub_and_files_give_the_same_arrays(
    dataset: Dataset, small: dict[str, bytes], tmp_path: Path, cache: Path
) -> None:
    write(small, tmp_path / "files", packed=True)
    assert dataset.missing(None) is not None
    write_hub(small, cache)
    assert dataset.missing(None) is None
    from_files, from_hub = arrays(dataset.load(tmp_path / "files")), arrays(dataset.load(None))
    for split in ("train", "test"):
        for one, other in zip(from_files[split], from_hub[split], strict=True):
            np.testing.assert_array_equal(one, other)
    assert dataset.load(None)["test"].features == dataset.load(tmp_path / "files")["test"].features


def test_a_set_that_the_hub_library_has_cached_loads_without_network(
    small: dict[str, bytes], cache: Path, tmp_path: Path
) -> None:
    repository = write_hub(small, tmp_path)
    data_files = {
        split: str(repository / "mnist" / f"{split}-00000-of-00001.parquet") for split in IMAGES
    }
    assert MNIST().missing(tmp_path) is not None
    builder = Parquet(
        cache_dir=str(cache / "arrow"),
        dataset_name="mnist",
        config_name="mnist",
        config_id="mnist",
        hash=mnist_source.HUB_REVISION,
        data_files=data_files,
    )
    builder.download_and_prepare(
        str(cache / "arrow" / "ylecun___mnist" / "mnist" / "0.0.0" / mnist_source.HUB_REVISION)
    )
    assert MNIST().missing(tmp_path) is None
    assert [len(table) for table in MNIST().load(tmp_path).values()] == [20, 10]


def test_a_hub_set_with_other_images_is_an_error(small: dict[str, bytes], cache: Path) -> None:
    name = IMAGES["test"]
    changed = bytearray(small[name])
    changed[100] ^= 1
    write_hub(small | {name: bytes(changed)}, cache)
    with pytest.raises(DataError, match=r"test images.*is not MNIST's official t10k-images"):
        MNIST().load(None)


def test_without_files_and_hub_the_error_says_how_to_get_the_set(tmp_path: Path) -> None:
    for data_dir in (None, tmp_path):
        advice = MNIST().missing(data_dir)
        assert advice is not None
        assert all(word in advice for word in ("train-images-idx3-ubyte", "hf download", "ylecun"))
        with pytest.raises(
            DataError, match=r"Can't get ylecun/mnist at .* go online.*four IDX files"
        ):
            MNIST().load(data_dir)


def test_an_absent_file_of_the_four_is_named(small: dict[str, bytes], tmp_path: Path) -> None:
    absent = small.pop(LABELS["test"])
    assert absent
    write(small, tmp_path / "mnist", packed=True)
    assert LABELS["test"] in str(MNIST().missing(tmp_path))
    with pytest.raises(DataError, match=f"incomplete in .*mnist: put {LABELS['test']} there"):
        MNIST().load(tmp_path)


def test_another_file_under_the_official_name_is_an_error(
    small: dict[str, bytes], tmp_path: Path
) -> None:
    name = LABELS["train"]
    write(small | {name: small[name][:-1] + b"\x07"}, tmp_path, packed=True)
    with pytest.raises(DataError, match=rf"{name}\.gz is not MNIST's official {name}: md5"):
        MNIST().load(tmp_path)


def test_all_wrong_files_are_named_at_once(small: dict[str, bytes], tmp_path: Path) -> None:
    for name in IMAGES.values():
        small[name] = small[name][:-1] + b"\x07"
    small[LABELS["train"]] = small[LABELS["train"]][:-1]
    write(small, tmp_path, packed=False)
    with pytest.raises(DataError, match="3 problems") as error:
        MNIST().load(tmp_path)
    for name in (*IMAGES.values(), LABELS["train"]):
        assert str(tmp_path / name) in str(error.value)


@pytest.mark.parametrize("others", ["here", "mnist"])
def test_another_set_s_files_of_the_same_names_are_not_taken_for_mnist(
    others: str, small: dict[str, bytes], tmp_path: Path
) -> None:
    foreign = {name: content[:-1] + b"\x07" for name, content in small.items()}
    write(foreign, tmp_path, packed=False)
    if others == "here":
        assert "MNIST is not on this machine" in str(MNIST().missing(tmp_path))
    else:
        write(small, tmp_path / "mnist", packed=True)
        assert MNIST().missing(tmp_path) is None
        assert len(MNIST().load(tmp_path)["train"]) == 20


def test_a_complete_folder_is_taken_before_a_part_of_the_set(
    small: dict[str, bytes], tmp_path: Path
) -> None:
    write({LABELS["train"]: small[LABELS["train"]]}, tmp_path / "mnist", packed=False)
    write(small, tmp_path / "MNIST" / "raw", packed=False)
    assert len(MNIST().load(tmp_path)["train"]) == 20


def test_a_download_cut_short_is_an_error(small: dict[str, bytes], tmp_path: Path) -> None:
    write(small, tmp_path, packed=True)
    path = tmp_path / f"{IMAGES['train']}.gz"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match=rf"{path.name}.*fetch the official file again"):
        MNIST().load(tmp_path)


@pytest.mark.parametrize("split", [1, 2, 3, 4, 5])
def test_each_split_learns_five_digits_and_retrieves_the_other_five(
    split: int, small: dict[str, bytes], tmp_path: Path
) -> None:
    write(small, tmp_path, packed=False)
    tables = MNIST(split=split).load(tmp_path)
    learnt, retrieved = set(tables["train"]["label"]), set(tables["test"]["label"])
    assert learnt == {(split - 1 + i) % 10 for i in range(5)}
    assert learnt | retrieved == set(range(10))
    assert len(retrieved) == 5


def test_the_first_split_is_0_to_4_against_5_to_9() -> None:
    assert MNIST().expected == MNIST.expected == {"train": (30_596, 5), "test": (4_861, 5)}


@pytest.fixture(scope="module")
def real() -> Path:
    return real_data("mnist/t10k-labels-idx1-ubyte.gz").parents[1]


def test_the_known_md5_sums_are_those_of_the_official_archives(real: Path) -> None:
    official = {
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    }
    for name, md5 in official.items():
        packed = (real / "mnist" / f"{name}.gz").read_bytes()
        assert hashlib.md5(packed).hexdigest() == md5
        assert hashlib.md5(gzip.decompress(packed)).hexdigest() == mnist_source.SOURCE.md5[name]


@pytest.mark.parametrize("dataset", [MNISTClosed(), *(MNIST(split=s) for s in (1, 2, 3, 4, 5))])
def test_the_real_set_has_the_expected_counts(dataset: Dataset, real: Path) -> None:
    for split, table in dataset.load(real).items():
        labels = np.asarray(table.data.column("label"))
        assert (len(labels), len(np.unique(labels))) == dataset.expected[split]


def test_raw_pixels_of_the_real_set_score_as_published(real: Path) -> None:
    images, labels = arrays(MNIST().load(real))["test"]
    pixels = images.reshape(len(images), -1).astype(np.float32)
    pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
    similarity = pixels @ pixels.T
    np.fill_diagonal(similarity, -1)
    recall = 100 * (labels[similarity.argmax(axis=1)] == labels).mean()
    assert recall == pytest.approx(97.43, abs=0.02)


@pytest.mark.slow
@pytest.mark.timeout(900)  # 70,000 images become PNG files and are read again
def test_the_real_set_comes_through_a_hub_repository_unchanged(real: Path, cache: Path) -> None:
    names = mnist_source.SOURCE.md5
    write_hub({name: read_bytes(real / "mnist" / f"{name}.gz") for name in names}, cache)
    assert {split: len(table) for split, table in MNIST().load(None).items()} == {
        "train": 30_596,
        "test": 4_861,
    }
