"""The real parts of CUB, Cars196 and Omniglot, where they are at hand: prepare, verify, load."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.real_data import real_data

from dmlbench import DataError, Dataset
from dmlbench.data.items import load_data
from dmlbench.data.prepare.prepare import Preparation, unverified
from dmlbench.data.prepare.verify import verify
from dmlbench.data.remarks import remarks
from dmlbench_datasets.cars import Cars
from dmlbench_datasets.cub import CUB
from dmlbench_datasets.digits import Digits, DigitsClosed
from dmlbench_datasets.iris import Iris
from dmlbench_datasets.mnist import MNIST
from dmlbench_datasets.omniglot import Omniglot

pytestmark = pytest.mark.timeout(900)  # thousands of photos are unpacked, hashed and decoded

CASES = {
    "cars": (Cars(partial=True), "cars196.tar", {"train": (4_052, 98), "test": (4_092, 98)}),
    "cub": (
        CUB(partial=True),
        "cub_200_2011_crop100.tar",
        {"train": (3_428, 58), "test": (2_474, 42)},
    ),
    "omniglot": (
        Omniglot(part="small", overlap=True),
        "omniglot_small.tar",
        {"train": (2_720, 136), "test": (3_120, 156)},
    ),
}


def silent(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Callable[[str], Path]:
    """Return a function that prepares a set once and gives the data folder."""
    folders = {}

    def prepare(name: str) -> Path:
        if name not in folders:
            dataset, archive, _ = CASES[name]
            folder = tmp_path_factory.mktemp(name)
            make = Preparation(name, dataset, folder, (real_data(archive),), True, silent, silent)
            assert make.run() == folder / name
            folders[name] = folder
        return folders[name]

    return prepare


every_part = pytest.mark.parametrize("name", CASES)


@every_part
def test_a_real_part_is_prepared_verified_and_loaded(name, prepared):
    data_dir = prepared(name)
    dataset, archive, counts = CASES[name]
    found = verify(dataset, data_dir, silent)
    assert found.counts == counts
    assert found.damaged == ()
    assert unverified(data_dir / name) == [archive]
    splits = dataset.load(data_dir)
    assert {split: len(table) for split, table in splits.items()} == {
        split: items for split, (items, _) in counts.items()
    }


@every_part
def test_a_real_part_is_refused_as_the_whole(name, prepared):
    data_dir = prepared(name)
    whole: Dataset = {"cars": Cars(), "cub": CUB(), "omniglot": Omniglot()}[name]
    if name != "cars":  # of which the hub's copy may be in this machine's cache
        assert whole.missing(data_dir) is not None
    with pytest.raises(DataError, match=r"is not whole|incomplete"):
        whole.load(data_dir)


def test_omniglot_s_small_sets_have_20_drawings_each_and_greek_and_latin_in_common(prepared):
    data_dir = prepared("omniglot")
    both = CASES["omniglot"][0].load(data_dir)
    names = both["train"].features["label"].names
    sizes = {split: np.bincount(table["label"][:]) for split, table in both.items()}
    assert all(set(counts) <= {0, 20} for counts in sizes.values())
    shared = [names[n] for n in np.flatnonzero(sizes["train"]) if sizes["test"][n : n + 1].any()]
    assert len(shared) == 50
    assert {name.split("/")[0] for name in shared} == {"Greek", "Latin"}
    apart = Omniglot(part="small").load(data_dir)
    assert {split: (len(t), len(set(t["label"][:]))) for split, t in apart.items()} == {
        "train": (1_720, 86),
        "test": (3_120, 156),
    }


def test_the_labels_of_cub_s_part_are_those_of_the_official_lists(prepared):
    import tarfile

    data_dir = prepared("cub")
    with tarfile.open(real_data("cub_200_2011_official_metadata.tar")) as tar:
        lists = {
            name: tar.extractfile(f"cub_200_2011_official_metadata/{name}.txt").read().decode()
            for name in ("images", "image_class_labels")
        }
    classes = dict(line.split() for line in lists["image_class_labels"].splitlines())
    official = {
        path: int(classes[number])
        for number, path in (line.split() for line in lists["images"].splitlines())
    }
    learnt = [number for number in official.values() if number <= 100]
    assert (len(learnt), len(official) - len(learnt)) == (5_864, 5_924)
    from datasets import Image

    for split, table in CASES["cub"][0].load(data_dir).items():
        names = table.features["label"].names
        for row in table.cast_column("image", Image(decode=False)):
            path = Path(row["image"]["path"])
            number = official[f"{path.parent.name}/{path.name}"]
            assert names[row["label"]] == path.parent.name
            assert int(path.parent.name[:3]) == number
            assert (number <= 100) == (split == "train")


LEADERBOARDS = Path(__file__).parents[3] / "leaderboards"
ODD = {"cars": ["24 of 8,144"]}
"""Cars196 has photos that are there twice, as two models."""
PUBLISHED = {
    "cars": ("cars-partial=True/frozen", Cars(partial=True)),
    "cub": ("cub-partial=True/frozen", CUB(partial=True)),
    "omniglot": ("omniglot-part=small/small", Omniglot(part="small")),
    "mnist": ("mnist/small", MNIST()),
    "digits": ("digits/small", Digits()),
    "digits-closed": ("digits-closed/small", DigitsClosed()),
    "iris": ("iris/vectors", Iris()),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_fingerprint_is_that_of_the_published_table(name, prepared, tmp_path):
    table, dataset = PUBLISHED[name]
    data_dir = real_data("mnist") if name == "mnist" else prepared(name) if name in CASES else None
    data = load_data(dataset, data_dir, 16, cache_dir=tmp_path)
    published = json.loads((LEADERBOARDS / f"{table}.json").read_text())
    assert data.fingerprint == published["fingerprint"]
    odd = remarks(data)
    assert [sentence.split(" items ")[0] for sentence in odd] == ODD.get(name, [])
