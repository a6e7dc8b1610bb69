"""The hub path, against a stand-in of the hub's cache: one revision, and no network."""

import io
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image

from dmlbench import ConfigError, DataError
from dmlbench.data.items import load_data
from dmlbench_datasets import hub_snapshot
from dmlbench_datasets.cars import Cars
from dmlbench_datasets.cub import CUB
from dmlbench_datasets.mnist import MNIST
from dmlbench_datasets.sop import SOP

pytestmark = pytest.mark.usefixtures("whole")
OTHER = "1" * 40
Rows = list[dict[str, object]]
Publish = Callable[..., Path]


def photo(number: int, resized: bool = False) -> dict[str, object]:
    """Return an encoded image as a Parquet file of the hub holds it."""
    width = 224 if resized else 16 + number % 5
    pixels = np.random.default_rng(number).integers(256, size=(12, width, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": f"{number}.png"}


def classified(classes: list[int], count: int, **options: bool) -> dict[str, datasets.Dataset]:
    """Return halves with all `classes` in both, as for classification, labels from 0 on."""
    features = datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=[f"class {number}" for number in range(count)]),
        bbox=datasets.Sequence(datasets.Value("int64")),
    )
    halves = {}
    for start, half in enumerate(("train", "test")):
        labels = [number for number in classes for _ in range(2 - start)]
        rows = {
            "image": [photo(start + place, **options) for place in range(len(labels))],
            "label": labels,
            "bbox": [[0, 0, 5, 5]] * len(labels),
        }
        halves[half] = datasets.Dataset.from_dict(rows, features=features)
    return halves


def products(train: range, test: range) -> dict[str, datasets.Dataset]:
    halves = {}
    for half, numbers in (("train", train), ("test", test)):
        rows = {
            "image": [photo(number + shot) for number in numbers for shot in range(2)],
            "item_id": [1_000 + number for number in numbers for _ in range(2)],
            "image_path": [
                f"{'fan_final' if number % 2 else 'sofa_final'}/{1_000 + number}_{shot}.JPG"
                for number in numbers
                for shot in range(2)
            ],
        }
        features = datasets.Features(
            image=datasets.Image(),
            item_id=datasets.Value("int64"),
            image_path=datasets.Value("string"),
        )
        halves[half] = datasets.Dataset.from_dict(rows, features=features)
    return halves


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Return a function that puts a revision into the hub's cache; the network is off."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")

    def put(source: str, halves: dict[str, datasets.Dataset], parts: int = 1) -> Path:
        repository, revision = source.split("@")
        folder = tmp_path / "hub" / f"datasets--{repository.replace('/', '--')}"
        data = folder / "snapshots" / revision / "data"
        data.mkdir(parents=True)
        for half, table in halves.items():
            for part in range(parts):
                name = f"{half}-{part:05d}-of-{parts:05d}.parquet"
                table.shard(parts, part, contiguous=True).to_parquet(data / name)
        return data

    return put


CAR_LABELS = [0, 97, 98, 195]


def test_cars_from_the_hub_are_split_by_class_across_its_halves(publish, monkeypatch, tmp_path):
    publish(Cars.mirror, classified(CAR_LABELS, 196), parts=2)
    assert Cars().missing(None) is None
    assert Cars().missing(tmp_path) is None
    data = load_data(Cars(), None, 8)
    assert {
        split: np.bincount(part.labels).nonzero()[0].tolist() for split, part in data.splits.items()
    } == {"train": [0, 97], "test": [98, 195]}
    assert {split: len(part) for split, part in data.splits.items()} == {"train": 6, "test": 6}


def test_photos_stay_encoded_and_as_they_are(publish):
    halves = classified(CAR_LABELS, 196)
    publish(Cars.mirror, halves)
    table = Cars().load(None)["train"].cast_column("image", datasets.Image(decode=False))
    raw = halves["train"].cast_column("image", datasets.Image(decode=False))
    expected = [row["image"]["bytes"] for row in raw if row["label"] < 98]
    assert [row["image"]["bytes"] for row in table][: len(expected)] == expected


def test_products_from_the_hub_keep_the_official_split_and_their_kinds(publish):
    publish(SOP.mirror, products(range(2), range(2, 5)))
    data = load_data(SOP(), None, 8)
    assert data.splits["train"].labels.tolist() == [0, 0, 1, 1]
    assert data.splits["test"].labels.tolist() == [2, 2, 3, 3, 4, 4]
    assert data.splits["test"].groups.tolist() == [2, 2, 1, 1, 2, 2]
    assert data.class_names == ("1000", "1001", "1002", "1003", "1004")


def test_birds_come_from_the_hub_only_at_a_revision_that_the_user_names(publish):
    source = f"bentrevett/caltech-ucsd-birds-200-2011@{OTHER}"
    publish(source, classified([0, 99, 100, 199], 200))
    assert CUB().missing(None) is not None
    with pytest.raises(DataError, match="dmlbench data prepare cub"):
        CUB().load(None)
    assert CUB(hub=source).missing(None) is None
    data = load_data(CUB(hub=source), None, 8)
    assert set(data.splits["train"].labels) == {0, 99}


def test_files_come_before_the_hub_unless_it_is_asked_for(publish, tmp_path):
    from support.official_sets import write_cars

    publish(Cars.mirror, classified(CAR_LABELS, 196))
    write_cars(tmp_path / "data")
    image = (
        Cars().load(tmp_path / "data")["test"].cast_column("image", datasets.Image(decode=False))[0]
    )
    from_hub = Cars(hub=Cars.mirror).load(tmp_path / "data")["test"]
    other = from_hub.cast_column("image", datasets.Image(decode=False))[0]
    assert Path(image["image"]["path"]).is_file()
    assert other["image"]["bytes"]


def test_another_revision_in_the_cache_is_never_taken_for_the_pinned_one(publish):
    publish(f"{Cars.mirror.split('@')[0]}@{OTHER}", classified(CAR_LABELS, 196))
    repository, revision = Cars.mirror.split("@")
    advice = Cars().missing(None)
    assert f"hf download {repository} --repo-type dataset --revision {revision}" in advice
    with pytest.raises(DataError, match=f"Can't get {repository} at {revision}.*go online"):
        Cars().load(None)


def test_a_download_that_stopped_halfway_is_not_taken_for_whole(publish):
    data = publish(Cars.mirror, classified(CAR_LABELS, 196), parts=2)
    (data / "test-00001-of-00002.parquet").unlink()
    assert not hub_snapshot.cached(*hub_snapshot.parse(Cars.mirror))
    assert Cars().missing(None) is not None
    with pytest.raises(DataError, match="Can't get tanganke/stanford_cars"):
        Cars().load(None)


def test_a_damaged_file_of_the_cache_is_an_error(publish):
    data = publish(Cars.mirror, classified(CAR_LABELS, 196))
    (data / "test-00000-of-00001.parquet").write_bytes(b"PAR1 rubbish")
    with pytest.raises(DataError, match="Can't get tanganke/stanford_cars"):
        Cars().load(None)


def test_a_part_on_the_hub_is_refused_unless_asked_for(publish):
    source = f"somebody/some-cars@{OTHER}"
    publish(source, classified([0, 1, 98, 99, 100], 196))
    with pytest.raises(DataError, match="is not Cars196, whole: test has 9 images of 3"):
        Cars(hub=source).load(None)
    assert len(Cars(hub=source, partial=True).load(None)["test"]) == 9


def test_a_resized_copy_on_the_hub_is_refused(publish):
    source = f"somebody/small-cars@{OTHER}"
    publish(source, classified(CAR_LABELS, 196, resized=True))
    with pytest.raises(DataError, match="is a resized copy of Cars196"):
        Cars(hub=source).load(None)


@pytest.mark.parametrize(
    ("plugin", "change", "problem"),
    [
        (Cars, ("rename_column", "label", "y"), "no class labels in a column 'label'"),
        (Cars, ("rename_column", "image", "img"), "no images in a column 'image'"),
        (SOP, ("rename_column", "item_id", "id"), "lacks item_id or image_path"),
    ],
)
def test_other_columns_are_an_error(plugin, change, problem, publish):
    halves = products(range(2), range(2, 5)) if plugin is SOP else classified(CAR_LABELS, 196)
    method, *arguments = change
    publish(plugin.mirror, {half: getattr(t, method)(*arguments) for half, t in halves.items()})
    with pytest.raises(DataError, match=problem):
        plugin().load(None)


@pytest.mark.parametrize(
    "text", ["a/b", "a/b@main", "a/b@1234", f"a@{OTHER}", f"a/b@{OTHER}0", f"../b/c@{OTHER}"]
)
def test_a_repository_is_named_with_all_of_its_revision(text):
    with pytest.raises(ConfigError, match="OWNER/NAME@REVISION"):
        Cars(hub=text)


# A hub that is out of reach


@pytest.fixture(params=["refused", "silent"])
def unreachable(request, tmp_path, monkeypatch) -> Iterator[list[str]]:
    """A hub that refuses connections, or takes them and never answers; lists what is asked."""
    asked: list[str] = []
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: asked.append("all"))
    monkeypatch.setattr(hub_snapshot, "SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if request.param == "refused":
            server.close()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
        yield asked


@pytest.mark.parametrize("dataset", [Cars(), SOP(), CUB(hub=f"a/b@{OTHER}"), MNIST()])
def test_a_hub_out_of_reach_is_asked_once_and_one_sentence_says_so(dataset, unreachable):
    with pytest.raises(DataError, match=r"Can't get .* from the Hugging Face hub \(.*go online"):
        dataset.load(None)
    assert unreachable == []


def test_what_is_here_is_read_though_the_hub_is_out_of_reach(publish, monkeypatch):
    publish(Cars.mirror, classified(CAR_LABELS, 196))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket.socket, "connect", None)
    assert len(Cars().load(None)["train"]) == 6
