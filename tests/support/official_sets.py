"""Tiny image sets in the layout in which their authors distribute the large ones."""

import gzip
import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from dmlbench import Archive, Dataset
from dmlbench_datasets import fashion_mnist
from dmlbench_datasets.cars import Cars
from dmlbench_datasets.cub import CUB
from dmlbench_datasets.inshop import InShop
from dmlbench_datasets.omniglot import Omniglot
from dmlbench_datasets.sop import SOP


def picture(path: Path, number: int = 0) -> None:
    """Write an image of noise; those of different numbers differ in size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(256, size=(12, 16 + number % 5, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path, "PNG" if path.suffix == ".png" else "JPEG")


def write_cub(folder: Path) -> None:
    """4 classes of 3 photos; every class is in both halves of ``train_test_split.txt``."""
    root = folder / "CUB_200_2011"
    classes = {1: "001.Albatross", 100: "100.Pelican", 101: "101.Pewee", 200: "200.Wren"}
    images = [(f"{name}/{name[4:]}_{n}.jpg", c) for c, name in classes.items() for n in range(3)]
    for number, (path, _) in enumerate(images):
        picture(root / "images" / path, number)
    lines = {
        "classes": [f"{number} {name}" for number, name in classes.items()],
        "images": [f"{number} {path}" for number, (path, _) in enumerate(images, 1)],
        "image_class_labels": [f"{number} {c}" for number, (_, c) in enumerate(images, 1)],
        "train_test_split": [f"{number} {number % 2}" for number in range(1, len(images) + 1)],
        "bounding_boxes": [f"{number} 1.0 1.0 5.0 5.0" for number in range(1, len(images) + 1)],
    }
    for name, rows in lines.items():
        (root / f"{name}.txt").write_text("\n".join(rows) + "\n")


CAR_CLASSES = {1: 3, 98: 3, 99: 2, 196: 4}
"""Photos of each class of cars."""


def _annotations(paths: list[str], classes: list[int] | None, field: str) -> np.ndarray:
    columns = [("bbox_x1", object), (field, object), *([("class", object)] if classes else [])]
    table = np.zeros(len(paths), dtype=columns)
    table["bbox_x1"], table[field] = 1, paths
    if classes:
        table["class"] = classes
    return table


def _car_names() -> np.ndarray:
    return np.array([f"Car {number} Coupe 2012" for number in range(1, 197)], dtype=object)


def write_cars(folder: Path) -> None:
    """``cars_train`` and ``cars_test`` with the devkit; each class is in both."""
    classes = [number for number, count in CAR_CLASSES.items() for _ in range(count)]
    (folder / "devkit").mkdir(parents=True)
    savemat(folder / "devkit/cars_meta.mat", {"class_names": _car_names()})
    for half, chosen in (("train", classes[::2]), ("test", classes[1::2])):
        paths = [f"{number:05d}.jpg" for number in range(1, len(chosen) + 1)]
        for number, path in enumerate(paths):
            picture(folder / f"cars_{half}" / path, number + (half == "test"))
        labelled = {"annotations": _annotations(paths, chosen, "fname")}
        bare = {"annotations": _annotations(paths, None, "fname")}
        file = folder / "devkit" / f"cars_{half}_annos.mat"
        savemat(file, labelled if half == "train" else bare)
        if half == "test":
            savemat(folder / "cars_test_annos_withlabels.mat", labelled)


def write_car_ims(folder: Path) -> None:
    """The other form: ``car_ims`` with ``cars_annos.mat``."""
    classes = [number for number, count in CAR_CLASSES.items() for _ in range(count)]
    paths = [f"car_ims/{number:06d}.jpg" for number in range(1, len(classes) + 1)]
    for number, path in enumerate(paths):
        picture(folder / path, number)
    table = _annotations(paths, classes, "relative_im_path")
    savemat(folder / "cars_annos.mat", {"annotations": table, "class_names": _car_names()})


def write_sop(folder: Path) -> None:
    """2 products to learn and 3 to retrieve, 2 photos each, of 2 kinds."""
    root = folder / "Stanford_Online_Products"
    rows = {"train": [], "test": []}
    for product in range(1, 6):
        for shot in range(2):
            kind = ("bicycle", "cabinet")[product % 2]
            path = f"{kind}_final/11108512287{product}_{shot}.JPG"
            picture(root / path, product + shot)
            rows["train" if product < 3 else "test"].append(
                f"{2 * product + shot - 1} {product} {product % 2 + 1} {path}"
            )
    for split, lines in rows.items():
        header = "image_id class_id super_class_id path"
        (root / f"Ebay_{split}.txt").write_text("\n".join([header, *lines]) + "\n")


def write_inshop(folder: Path) -> None:
    """2 items to learn, 2 queries and 2 gallery photos of 2 others; all photos of one size."""
    root = folder / "In-shop Clothes Retrieval Benchmark"
    rows = []
    for item, splits in enumerate(
        [("train", "train"), ("train", "train"), ("query", "gallery"), ("query", "gallery")]
    ):
        for shot, split in enumerate(splits):
            who = "WOMEN/Dresses" if item % 2 else "MEN/Denim"
            path = f"img/{who}/id_{item:08d}/{shot:02d}_1_front.jpg"
            picture(root / "Img" / path)
            rows.append(f"{path:<70} id_{item:08d} {split}")
    (root / "Eval").mkdir()
    header = [str(len(rows)), "image_name item_id evaluation_status"]
    (root / "Eval" / "list_eval_partition.txt").write_text("\n".join(header + rows) + "\n")


def write_omniglot(folder: Path) -> None:
    """All four folders: 2 + 2 characters, and in the small sets 3 + 2, one of them in both."""
    characters = {
        "images_background": ("Greek/character01", "Latin/character01"),
        "images_evaluation": ("Tengwar/character01", "Tengwar/character02"),
        "images_background_small1": (
            "Greek/character01",
            "Korean/character01",
            "Korean/character02",
        ),
        "images_background_small2": ("Greek/character01", "Tagalog/character01"),
    }
    for name, places in characters.items():
        for place in places:
            for number in range(1, 4):
                picture(folder / name / place / f"0001_{number:02d}.png")


def write_fashion(folder: Path) -> None:
    """The four IDX files, two pictures of each kind in each half."""
    (folder / "fashion-mnist").mkdir(parents=True)
    for half, count in (("train", 20), ("t10k", 20)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.random.default_rng(count).integers(256, size=(count, 28, 28), dtype=np.uint8)
        for kind, content in (
            ("images-idx3", struct.pack(">4I", 2051, count, 28, 28) + images.tobytes()),
            ("labels-idx1", struct.pack(">2I", 2049, count) + labels.tobytes()),
        ):
            path = folder / "fashion-mnist" / f"{half}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(content, mtime=0))


def pass_for_official(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the four packed files in a folder pass for those of Fashion-MNIST."""
    md5 = {}
    for name in fashion_mnist.SOURCE.md5:
        content = gzip.decompress((folder / f"{name}.gz").read_bytes())
        md5[name] = hashlib.md5(content).hexdigest()
    archives = [Archive(f"{name}.gz", unpacked_md5=known) for name, known in md5.items()]
    monkeypatch.setattr(fashion_mnist, "SOURCE", replace(fashion_mnist.SOURCE, md5=md5))
    monkeypatch.setattr(fashion_mnist.FashionMNIST, "archives", tuple(archives))


class Tiny(NamedTuple):
    """A tiny set: how it is written, its plugin, its counts, and where its files lie."""

    write: Callable[[Path], None]
    plugin: type[Dataset]
    expected: dict[str, tuple[int, int]]
    root: str
    labels: str
    """A label file, within `root`."""
    image: str
    """An image, within `root`."""


TINY = {
    "cub": Tiny(
        write_cub,
        CUB,
        {"train": (6, 2), "test": (6, 2)},
        "CUB_200_2011",
        "image_class_labels.txt",
        "images/100.Pelican/Pelican_1.jpg",
    ),
    "cars": Tiny(
        write_cars,
        Cars,
        {"train": (6, 2), "test": (6, 2)},
        ".",
        "devkit/cars_meta.mat",
        "cars_test/00002.jpg",
    ),
    "sop": Tiny(
        write_sop,
        SOP,
        {"train": (4, 2), "test": (6, 3)},
        "Stanford_Online_Products",
        "Ebay_test.txt",
        "bicycle_final/111085122872_0.JPG",
    ),
    "inshop": Tiny(
        write_inshop,
        InShop,
        {"train": (4, 2), "query": (2, 2), "gallery": (2, 2)},
        "In-shop Clothes Retrieval Benchmark",
        "Eval/list_eval_partition.txt",
        "Img/img/MEN/Denim/id_00000000/00_1_front.jpg",
    ),
    "omniglot": Tiny(
        write_omniglot,
        Omniglot,
        {"train": (6, 2), "test": (6, 2)},
        ".",
        "",
        "images_background/Greek/character01/0001_02.png",
    ),
}
