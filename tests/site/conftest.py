"""A site of made-up records, and a small data set with embeddings that know its classes."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from support.made_records import (  # noqa: F401 - records as fixtures
    _part_fixture,
    _record_fixture,
    glyphs_run,
)
from support.made_records import record as make_record
from support.site_pages import Element, contents, read_page

from dmlbench.data.items import Data, Items
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.record import Record
from dmlbench.site import build_site

Build = Callable[..., dict[str, Element]]


class Built(NamedTuple):
    records: list[Record]
    folder: Path
    pages: dict[str, Element]


def iris_run() -> list[Record]:
    """Return records of iris, scored by neighbours; triplet is in the table of glyphs too."""
    vectors = load_protocol("vectors")
    made = []
    for name, accuracy in {"contrastive": 0.96, "triplet": 0.94, "pixels": 0.97}.items():
        for seed in range(3):
            value = {"knn_accuracy": accuracy + 0.002 * seed * (name == "triplet")}
            which = {"baseline": name} if name == "pixels" else {"loss": name, "miner": None}
            fields = {"metrics": value, "last_epoch_metrics": value, "selection": "last epoch"}
            made.append(make_record(**which, seed=seed, dataset="iris", protocol=vectors, **fields))
    return made


def pages_of(folder: Path) -> dict[str, Element]:
    files = contents(folder)
    return {path: read_page(f.decode()) for path, f in files.items() if path.endswith(".html")}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return a whole site, to be read only."""
    folder = tmp_path_factory.mktemp("site")
    records = [*glyphs_run(), *iris_run()]
    build_site(records, folder)
    return Built(records, folder, pages_of(folder))


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Return what builds a site of some records and reads its pages."""

    def pages(records, **options):
        build_site(records, tmp_path / "site", **options)
        return pages_of(tmp_path / "site")

    return pages


@pytest.fixture(scope="session")
def pictures() -> Data:
    """Return 40 grey images of four classes; the last class has one image: a lone query."""
    rng = np.random.default_rng(0)
    labels = np.repeat([3, 5, 6, 9], [13, 13, 13, 1])
    images = rng.integers(0, 256, (40, 1, 6, 6), dtype=np.uint8)
    test = Items(images, labels.astype(np.int64))
    return Data({"train": test, "test": test}, tuple("abcdefghij"), "f" * 64)


@pytest.fixture(scope="session")
def embeddings(pictures: Data) -> np.ndarray:
    """Return embeddings in which most nearest neighbours are of the same class, not all."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(10, 5))
    rows = centres[pictures.splits["test"].labels] + 0.9 * rng.normal(size=(40, 5))
    return rows.astype(np.float32)
