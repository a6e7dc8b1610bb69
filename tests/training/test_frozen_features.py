"""The frozen lane: features computed once, and every row starting from them."""

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dmlbench import Backbone, DataError, ImageFormat, TrialError
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.compute.phases import heard_by
from dmlbench.data.items import Data, Items
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.trial import Part
from dmlbench.training import frozen_features
from dmlbench.training.frozen_features import Extractor
from dmlbench.trials.run_trial import features_once, load_once, run_trial

SPAWN = multiprocessing.get_context("spawn")  # a fork of a process that used torch may hang
CPU = torch.device("cpu")
PART = Part(reference="means", name="means", source="1")
IMAGES = np.random.default_rng(0).integers(256, size=(40, 3, 8, 8)).astype(np.uint8)
LABELS = np.repeat(np.arange(8), 5)
DATA = Data(
    {"train": Items(IMAGES[:20], LABELS[:20]), "test": Items(IMAGES[20:], LABELS[20:])},
    tuple("abcdefgh"),
    "fingerprint",
)


class Means(Backbone):
    """The mean of each channel, times a number; counts how often a network is run."""

    runs = 0

    def __init__(self, times: float = 1.0, *, random: bool = False) -> None:
        self.times = times
        self.random = random

    def image_format(self) -> ImageFormat:
        return ImageFormat(mean=(0.0,), std=(1.0,))

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        outer = self

        class Network(nn.Module):
            num_features = shape[0]

            def __init__(self) -> None:
                super().__init__()
                start = torch.rand(()) if outer.random else torch.tensor(outer.times)
                self.times = nn.Parameter(start)

            def forward(self, images: torch.Tensor) -> torch.Tensor:
                Means.runs += 1
                return images.mean((2, 3)) * self.times

        return Network()


def extractor(backbone: Backbone, part: Part = PART, **changes: object) -> Extractor:
    protocol = load_protocol("frozen")
    for key, value in changes.items():
        protocol = protocol.change(key, str(value))
    return Extractor(backbone, part, protocol, CPU)


def runs(backbone: Backbone, folder: Path, data: Data = DATA, **changes: object) -> int:
    """Return how often the network ran to have the features of `data`."""
    before = Means.runs
    extractor(backbone, **changes).features(data, folder)
    return Means.runs - before


def test_features_are_what_the_network_makes_of_the_plain_images(tmp_path):
    for _ in range(2):  # made, and read
        found = extractor(Means(2.0)).features(DATA, tmp_path)
        assert found.fingerprint == DATA.fingerprint
        for name, items in found.splits.items():
            images = DATA.splits[name].inputs
            assert items.inputs.dtype == np.float32
            assert np.allclose(items.inputs, 2 * images.mean((2, 3)) / 255, atol=1e-6)
            assert np.array_equal(items.labels, DATA.splits[name].labels)


def test_features_are_computed_once_for_what_decides_them(tmp_path):
    assert runs(Means(), tmp_path) == 2  # train and test
    assert runs(Means(), tmp_path) == 0
    assert runs(Means(1.5), tmp_path) == 2  # other weights in the same file
    assert runs(Means(), tmp_path, precision="bfloat16") == 2
    assert runs(Means(), tmp_path, image_size=128) == 2
    assert runs(Means(), tmp_path, interpolation="bilinear") == 2
    other = PART.model_copy(update={"source": "2"})
    assert runs(Means(), tmp_path, part=other) == 2
    settings = PART.model_copy(update={"settings": {"pooling": "max"}})
    assert runs(Means(), tmp_path, part=settings) == 2
    assert runs(Means(), tmp_path, Data(DATA.splits, DATA.class_names, "other data")) == 2
    # The head, the loss, the seed and what training crops are cut from have no say.
    assert runs(Means(), tmp_path, embedding_dim=7, batch_size=64) == 0
    assert runs(Means(), tmp_path, store_side=512, **{"augmentation.crop": "random-resized"}) == 0
    assert runs(Means(), tmp_path) == 0


def test_a_network_that_starts_at_random_is_the_same_for_every_seed(tmp_path):
    torch.manual_seed(3)
    assert runs(Means(random=True), tmp_path) == 2
    torch.manual_seed(4)
    assert runs(Means(random=True), tmp_path) == 0


@pytest.mark.parametrize("content", [b"", b"no array", b"cut"])
def test_damaged_features_are_computed_again(tmp_path, content):
    first = extractor(Means()).features(DATA, tmp_path)
    expected = {name: items.inputs.copy() for name, items in first.splits.items()}
    files = list((tmp_path / "features").glob("*.npy"))
    assert len(files) == 2
    for file in files:
        whole = file.read_bytes()
        file.unlink()  # what is mapped stays
        file.write_bytes(whole[:-4] if content == b"cut" else content)
    assert runs(Means(), tmp_path) == 2
    again = extractor(Means()).features(DATA, tmp_path)
    for name, items in again.splits.items():
        assert np.array_equal(items.inputs, expected[name])
    assert sorted(file.name for file in (tmp_path / "features").iterdir()) == sorted(
        file.name for file in files
    )


def test_writing_to_features_never_changes_the_file(tmp_path):
    found = extractor(Means()).features(DATA, tmp_path).splits["train"].inputs
    torch.from_numpy(found).zero_()
    again = extractor(Means()).features(DATA, tmp_path).splits["train"].inputs
    assert again.any()


def test_features_that_are_no_numbers_are_an_error_and_leave_nothing(tmp_path):
    with pytest.raises(TrialError, match="features of means are not finite"):
        extractor(Means(float("nan"))).features(DATA, tmp_path)
    assert not list((tmp_path / "features").iterdir())


def test_a_cache_that_can_not_be_written_is_named_and_left_as_it_was(tmp_path):
    (tmp_path / "features").write_text("in the way")
    advice = (
        rf"the cache {tmp_path}/features: Not a directory\. Choose another folder with --cache-dir"
    )
    with pytest.raises(DataError, match=advice):
        extractor(Means()).features(DATA, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def log_runs(folder: Path, log: Path, together: Barrier) -> None:
    together.wait()
    made = runs(Means(), folder)
    with log.open("a") as file:
        file.write(f"{made}\n")


@pytest.mark.slow  # each process imports torch
def test_of_two_processes_at_once_one_computes(tmp_path):
    together, log = SPAWN.Barrier(2), tmp_path / "log"
    workers = [SPAWN.Process(target=log_runs, args=(tmp_path, log, together)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(map(int, log.read_text().split())) == 2  # one for each split
    assert len(list((tmp_path / "features").iterdir())) == 2


# Trials


@pytest.fixture
def frozen_suite(tiny_protocol, zoo):
    text = tiny_protocol.read_text().replace("sampler =", "frozen = true\nsampler =")
    text += 'names = { pixels = "frozen features" }\n'
    tiny_protocol.write_text(text)
    return {"backbone": "small-conv", "seeds": (0, 1)}


def test_losses_and_baselines_of_all_seeds_share_the_features(plan_of, frozen_suite, tmp_path):
    workplace = Workplace(Catalogue.discover(), None, CPU, tmp_path)
    baselines = ("pixels", "pca", "untrained")
    plan = plan_of(losses=("contrastive",), baselines=baselines, **frozen_suite)
    records = [run_trial(trial, workplace) for trial in plan.trials]
    assert [record.reason for record in records] == [""] * 8
    assert len(list((tmp_path / "features").iterdir())) == 2
    by_row = {record.trial.label: record for record in records}
    assert set(by_row) == {"contrastive + all-pairs", "frozen features", "pca", "untrained"}
    raw = by_row["frozen features"]
    assert raw.trial.parts["baseline"].reference == "pixels"
    assert raw.metrics != by_row["untrained"].metrics
    trained = by_row["contrastive + all-pairs"]
    weights = {record.details["initial_weights"] for record in records}
    assert len(weights) == 1  # one frozen network, whatever the row and the seed
    # 256 features of small-conv to 4 dimensions, and the bias: all that learns
    assert trained.details["parameters"] == 256 * 4 + 4


@pytest.mark.parametrize("head_init", ["torch", "kaiming-fan-out", "orthogonal"])
def test_the_raw_row_is_the_features_and_a_seed_changes_only_the_head(
    plan_of, frozen_suite, tmp_path, head_init
):
    workplace = Workplace(Catalogue.discover(), None, CPU, tmp_path)
    settings = {"protocol.head_init": head_init}
    rows = {"baselines": ("pixels", "untrained"), "losses": ("contrastive",)}
    plan = plan_of(**rows, settings=settings, **frozen_suite)
    found = {(t.label, t.seed): run_trial(t, workplace) for t in plan.trials}
    assert found["frozen features", 0].metrics == found["frozen features", 1].metrics
    assert found["untrained", 0].metrics != found["untrained", 1].metrics
    for seed in (0, 1):
        start = found["contrastive + all-pairs", seed].epochs[0]
        assert start.distances == found["untrained", seed].epochs[0].distances


def test_every_row_names_its_backbone_with_the_settings(plan_of, frozen_suite):
    plan = plan_of(
        losses=("contrastive",),
        baselines=("pixels", "pca"),
        settings={"backbone.width": 8},
        **frozen_suite,
    )
    assert {trial.parts["backbone"].settings["width"] for trial in plan.trials} == {8}


def test_images_are_loaded_once_and_kept_as_they_are(plan_of, frozen_suite, tmp_path):
    workplace = Workplace(Catalogue.discover(), None, CPU, tmp_path)
    trial = plan_of(baselines=("pixels",), **frozen_suite).trials[0]
    asked = (trial.dataset.located().reference, "{}")
    features = features_once(
        workplace, asked, trial.parts["backbone"].model_dump_json(), trial.protocol
    )
    _, data = load_once(workplace, *asked, PhotoFormat.of(trial.protocol))
    assert data.splits["train"].inputs.ndim == 4
    assert features.splits["train"].inputs.ndim == 2


def test_each_block_of_features_is_told_with_the_number_of_all(tmp_path, monkeypatch):
    monkeypatch.setattr(frozen_features, "_BLOCK", 8)
    told = []
    with heard_by(lambda *news: told.append(news)):
        extractor(Means()).features(DATA, tmp_path)
    split = [("features", done, 20, "items") for done in (8, 16, 20)]
    assert told == split + split
