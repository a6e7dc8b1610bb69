"""``dmlbench data``: from archives to sets that load, and what is said of them."""

import gzip
import json
import shutil
import socket
from pathlib import Path

import datasets
import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image
from scipy.io import loadmat, savemat
from support.official_archives import fingerprint, given, listing, pack
from support.official_sets import TINY, pass_for_official, write_cub, write_fashion

from dmlbench import Archive
from dmlbench_datasets import fashion_mnist
from dmlbench_datasets.folder import Folder

pytestmark = pytest.mark.usefixtures("whole_sets")
NAMES = list(TINY)


@pytest.mark.parametrize("name", NAMES)
def test_archives_are_prepared_verified_and_load(name, dmlbench, archives, data_dir):
    result = dmlbench("data", "prepare", name, *given(archives(name)), "--data-dir", data_dir)
    assert result.code == 0, result.err
    assert f"{name} is ready in {data_dir / name}" in result.err
    assert listing(data_dir) == [name]
    record = json.loads((data_dir / name / "prepared.json").read_text())
    assert all(source["verified"] for source in record["sources"])
    tiny = TINY[name]
    splits = tiny.plugin().load(data_dir)
    assert {split: len(table) for split, table in splits.items()} == {
        split: items for split, (items, _) in tiny.expected.items()
    }
    verified = dmlbench("data", "verify", name, "--data-dir", data_dir)
    assert verified.code == 0, verified.err
    for split, (items, classes) in tiny.expected.items():
        assert f"{split}: {items} items of {classes} classes" in verified.out
    assert "All images open." in verified.out
    assert "unverified" not in verified.out


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_with_the_archives_and_one_with_the_set_give_the_same(
    name, dmlbench, archives, tmp_path
):
    folder = archives(name)[0].parent
    prints = []
    for number, source in enumerate((folder, tmp_path / "unpacked" / name / TINY[name].root)):
        data_dir = tmp_path / f"data{number}"
        data_dir.mkdir()
        result = dmlbench("data", "prepare", name, "--from", source, "--data-dir", data_dir)
        assert result.code == 0, result.err
        verified = dmlbench("data", "verify", name, "--data-dir", data_dir)
        prints.append(fingerprint(verified.out))
    assert len(prints[0]) == 64
    assert prints[0] == prints[1]


def test_archives_in_the_data_folder_are_found(dmlbench, archives, data_dir):
    for path in archives("cars"):
        shutil.move(path, data_dir)
    result = dmlbench("data", "prepare", "cars", "--data-dir", data_dir)
    assert result.code == 0, result.err
    assert (data_dir / "cars" / "cars_test").is_dir()


@pytest.fixture
def fashion(tmp_path, monkeypatch) -> Path:
    """A folder with four tiny files that pass for Fashion-MNIST's."""
    write_fashion(tmp_path)
    folder = tmp_path / "fashion-mnist"
    pass_for_official(folder, monkeypatch)
    return folder.rename(tmp_path / "clothes")


def unpacked(path: Path) -> None:
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()


def packed_otherwise(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), mtime=77))


@pytest.mark.parametrize("change", [lambda path: None, unpacked, packed_otherwise])
def test_fashion_mnist_s_files_are_copied_as_they_are(change, dmlbench, fashion, data_dir):
    for path in list(fashion.iterdir()):
        change(path)
    write_foreign(data_dir / "mnist")
    for _ in range(2):
        result = dmlbench(
            "data", "prepare", "fashion-mnist", "--from", fashion, "--data-dir", data_dir
        )
        assert result.code == 0, result.err
        assert "UNVERIFIED" not in result.err
    assert listing(data_dir / "fashion-mnist") == sorted([*listing(fashion), "prepared.json"])
    assert dmlbench("data", "verify", "fashion-mnist", "--data-dir", data_dir).code == 0


def write_foreign(folder: Path) -> None:
    """Write another set's files of the same names."""
    folder.mkdir()
    for archive in fashion_mnist.FashionMNIST.archives:
        (folder / archive.name).write_bytes(gzip.compress(b"another set's"))


def test_files_that_are_not_fashion_mnist_s_are_all_named_and_may_be_allowed(
    dmlbench, fashion, data_dir, tiny
):
    for name in ("train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"):
        content = bytearray(gzip.decompress((fashion / name).read_bytes()))
        content[-1] ^= 1
        (fashion / name).write_bytes(gzip.compress(content))
    command = ("data", "prepare", "fashion-mnist", "--from", fashion, "--data-dir", data_dir)
    refused = dmlbench(*command)
    assert refused.code == 2
    assert "2 problems" in refused.err
    for text in (f"{fashion}/train-images", f"{fashion}/t10k-images", "--allow-unverified"):
        assert text in refused.err
    allowed = dmlbench(*command, "--allow-unverified")
    assert allowed.code == 0, allowed.err
    verified = dmlbench("data", "verify", "fashion-mnist", "--data-dir", data_dir)
    assert verified.code == 0, verified.err
    assert "unverified: made from t10k-images-idx3-ubyte.gz" in verified.out
    labels = data_dir / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(gzip.decompress(labels.read_bytes())[:-1] + b"\0"))
    spoilt = dmlbench("data", "verify", "fashion-mnist", "--data-dir", data_dir)
    assert spoilt.code == 1
    assert "t10k-labels-idx1-ubyte.gz is not Fashion-MNIST's official" in spoilt.err


def test_label_files_that_were_allowed_are_not_damaged(dmlbench, archives, data_dir):
    paths = archives("cars")
    labels = next(path for path in paths if path.suffix == ".mat")
    content = loadmat(labels, squeeze_me=True, variable_names=["annotations"])
    savemat(labels, {"annotations": content["annotations"]}, do_compression=True)
    command = ("data", "prepare", "cars", *given(paths), "--data-dir", data_dir)
    assert dmlbench(*command).code == 2
    assert dmlbench(*command, "--allow-unverified").code == 0
    verified = dmlbench("data", "verify", "cars", "--data-dir", data_dir)
    assert verified.code == 0, verified.err
    assert f"unverified: made from {labels.name}" in verified.out


def test_what_is_ready_is_left_alone(dmlbench, archives, data_dir):
    paths = given(archives("cub"))
    assert dmlbench("data", "prepare", "cub", *paths, "--data-dir", data_dir).code == 0
    before = (data_dir / "cub").stat().st_ino
    result = dmlbench("data", "prepare", "cub", "--from", "nowhere", "--data-dir", data_dir)
    assert result.code == 0
    assert "cub is ready" in result.err
    assert (data_dir / "cub").stat().st_ino == before


def test_list_tells_what_is_ready_and_how_to_get_the_rest(dmlbench, archives, data_dir):
    dmlbench("data", "prepare", "cub", *given(archives("cub")), "--data-dir", data_dir)
    out = dmlbench("data", "list", "--data-dir", data_dir).out
    states = dict(line.split(maxsplit=1) for line in out.splitlines() if not line.startswith(" "))
    assert states["cub"] == states["glyphs"] == "ready"
    assert states["sop"] == "not here"
    assert states["folder"] == "your own"
    for text in ("licence: MIT", "cite: B. M. Lake", "get it: Stanford Online Products is not in"):
        assert text in out
    (data_dir / "cub" / "CUB_200_2011" / TINY["cub"].image).unlink()
    out = dmlbench("data", "list", "--data-dir", data_dir).out
    assert "a part is here" in next(line for line in out.splitlines() if line.startswith("cub "))


# A part of a set, and archives that nobody knows


def test_a_part_needs_to_be_allowed_and_tables_say_so(dmlbench, archives, data_dir, tiny, tmp_path):
    archives("cub")
    folder = tmp_path / "unpacked" / "cub"
    (folder / TINY["cub"].root / TINY["cub"].image).unlink()
    part = pack(folder, tmp_path / "part.tar")
    command = ("data", "prepare", "cub", "--from", part, "--data-dir", data_dir)
    refused = dmlbench(*command, "--allow-unverified")
    assert refused.code == 2
    assert "is not whole: train has 5 images of 2 classes, not 6 of 2" in refused.err
    assert "--allow-partial" in refused.err
    assert listing(data_dir) == []
    assert dmlbench(*command, "--allow-unverified", "--allow-partial").code == 0
    run = ("run", "--dataset", "cub", "--baseline", "pixels", "--seeds", 1, "--protocol", tiny)
    run += ("--jobs", 0, "--data-dir", data_dir)
    assert "is not whole" in dmlbench(*run).err
    result = dmlbench(*run, "--allow-partial")
    assert result.code == 0, result.err
    assert "cub (partial=True)" in result.out
    (page,) = Path("leaderboards").glob("*/*.md")
    assert "cub (partial=True)" in page.read_text()
    verified = dmlbench("data", "verify", "cub", "--allow-partial", "--data-dir", data_dir)
    assert verified.code == 0
    assert "unverified: made from part.tar" in verified.out
    assert dmlbench("data", "verify", "cub", "--data-dir", data_dir).code == 1


def test_queries_search_the_gallery_in_a_run(dmlbench, archives, data_dir, tiny):
    paths = given(archives("inshop"))
    assert dmlbench("data", "prepare", "inshop", *paths, "--data-dir", data_dir).code == 0
    run = ("run", "--dataset", "inshop", "--baseline", "pixels", "--seeds", 1, "--jobs", 0)
    result = dmlbench(*run, "--protocol", tiny, "--data-dir", data_dir)
    assert result.code == 0, result.err
    (path,) = Path("runs").rglob("*.json")
    record = json.loads(path.read_text())
    assert record["details"]["test_items"] == record["details"]["gallery_items"] == 2
    assert set(record["metrics"]) >= {"recall@1", "recall@10", "recall@40", "map_at_r"}


def test_sets_without_a_part_run_beside_those_that_have_one(dmlbench, data_dir, tiny):
    write_cub(data_dir)
    run = ("run", "--dataset", "cub,digits", "--baseline", "pixels", "--seeds", 1, "--dry-run")
    result = dmlbench(*run, "--protocol", tiny, "--data-dir", data_dir, "--allow-partial")
    assert result.code == 0, result.err
    assert "cub (partial=True), protocol" in result.out
    assert "digits, protocol" in result.out


def test_an_unknown_archive_needs_to_be_allowed_and_is_warned_of(
    dmlbench, archives, data_dir, tmp_path
):
    archives("cub")
    other = pack(tmp_path / "unpacked" / "cub", tmp_path / "birds.tar")
    command = ("data", "prepare", "cub", "--from", other, "--data-dir", data_dir)
    refused = dmlbench(*command)
    assert refused.code == 2
    assert "no official file has its name" in refused.err
    assert "--allow-unverified" in refused.err
    taken = dmlbench(*command, "--allow-unverified")
    assert taken.code == 0
    assert "WARNING: UNVERIFIED" in taken.err
    assert "unverified: made from birds.tar" in (
        dmlbench("data", "verify", "cub", "--data-dir", data_dir).out
    )


def test_an_archive_without_a_known_checksum_is_taken_and_that_is_said(
    dmlbench, archives, data_dir, monkeypatch
):
    paths = archives("inshop")
    plugin = TINY["inshop"].plugin
    monkeypatch.setattr(plugin, "archives", tuple(Archive(path.name) for path in paths))
    result = dmlbench("data", "prepare", "inshop", *given(paths), "--data-dir", data_dir)
    assert result.code == 0
    assert "No checksum of img.zip is known" in result.err


# Verification


@pytest.mark.parametrize("name", ["cars", "sop", "mnist", "cub", "inshop"])
def test_verify_never_asks_the_network_even_if_nothing_is_here(
    name, dmlbench, data_dir, monkeypatch
):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", data_dir / "arrow")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(data_dir / "hub"))
    monkeypatch.setattr(socket.socket, "connect", None)
    monkeypatch.setattr(socket, "getaddrinfo", None)
    result = dmlbench("data", "verify", name, "--data-dir", data_dir)
    assert result.code == 1
    assert "is not " in result.err


def test_verify_of_files_opens_no_connection(dmlbench, data_dir, monkeypatch):
    write_cub(data_dir)
    monkeypatch.setattr(socket.socket, "connect", None)
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert dmlbench("data", "verify", "cub", "--data-dir", data_dir).code == 0


def test_verify_counts_copies_and_faint_images(dmlbench, tmp_path):
    ramp = np.arange(144, dtype=np.uint16).reshape(12, 12)
    for number, name in enumerate("abcd"):
        for copy in range(3):
            path = tmp_path / "pets" / name / f"{copy}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(ramp * (number + 1) + copy).save(path)
    splits = dict(Folder(str(tmp_path / "pets")).load(None).items())
    one, other = (splits[s].features["label"].int2str(splits[s]["label"][0]) for s in splits)
    for copy in range(2):
        names = (f"pets/{one}/{copy}.png", f"pets/{other}/{copy}.png")
        shutil.copy(tmp_path / names[0], tmp_path / names[1])
    result = dmlbench("data", "verify", f"folder:{tmp_path / 'pets'}")
    assert result.code == 0, result.err
    assert "note: 2 of 6 items of test are exact copies of items of train." in result.out
    assert "note: 4 of 12 items have an exact copy in another class" in result.out
    assert result.out.count("note: 12 of 12 16-bit images use less than an eighth") == 1


def test_verify_lists_every_damaged_image_and_exits_with_1(dmlbench, data_dir):
    write_cub(data_dir)
    images = sorted((data_dir / "CUB_200_2011" / "images").rglob("*.jpg"))
    images[0].write_bytes(b"")
    images[4].write_bytes(images[4].read_bytes()[:100])
    images[7].write_bytes(b"GIF89a, no more")
    result = dmlbench("data", "verify", "cub", "--data-dir", data_dir)
    assert result.code == 1
    damaged = [line for line in result.err.splitlines() if line.startswith("damaged: ")]
    for line, number in zip(damaged, (0, 4, 7), strict=True):
        assert str(images[number]) in line
    assert "empty (0 bytes)" in damaged[0]
    assert "3 damaged files" in result.err


def test_verify_names_images_that_are_listed_and_absent(dmlbench, data_dir):
    write_cub(data_dir)
    (data_dir / TINY["cub"].root / TINY["cub"].image).unlink()
    result = dmlbench("data", "verify", "cub", "--data-dir", data_dir)
    assert result.code == 1
    assert f"Listed but absent: {TINY['cub'].image}." in result.err


def test_verify_compares_archives_that_lie_about(dmlbench, archives, data_dir):
    (path,) = archives("cub")
    write_cub(data_dir)
    shutil.copy(path, data_dir)
    assert dmlbench("data", "verify", "cub", "--data-dir", data_dir).code == 0
    (data_dir / path.name).write_bytes(b"x" * path.stat().st_size)
    result = dmlbench("data", "verify", "cub", "--data-dir", data_dir)
    assert result.code == 1
    assert f"damaged: {data_dir / path.name}: its sha256 is" in result.err


def test_one_set_has_one_fingerprint_wherever_it_lies_and_another_split_another(
    dmlbench, data_dir, tmp_path
):
    def found(folder: Path) -> str:
        return fingerprint(dmlbench("data", "verify", "cub", "--data-dir", folder).out)

    write_cub(data_dir)
    write_cub(tmp_path / "other" / "cub")
    before = found(data_dir)
    assert found(tmp_path / "other") == before
    labels = data_dir / "CUB_200_2011" / "image_class_labels.txt"
    lines = labels.read_text().splitlines()
    assert (lines[0], lines[3]) == ("1 1", "4 100")
    labels.write_text("\n".join(["1 100", *lines[1:3], "4 1", *lines[4:]]))
    assert found(data_dir) != before
