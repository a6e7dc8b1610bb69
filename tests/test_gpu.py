"""What a GPU has to do, where there is one: trials repeat, and say what they say on a CPU."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from support.stored_photos import encoded, some_photos, table

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.compute.determinism import repeatable
from dmlbench.compute.device import still_works
from dmlbench.data.batches import device_inputs
from dmlbench.data.batches.feed import Feed
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.data.photos.encoded import sources
from dmlbench.data.photos.pictures import StoredPhotos
from dmlbench.data.photos.store import photo_store
from dmlbench.errors import TrialStoppedError
from dmlbench.retrieval import RetrievalResult, evaluate
from dmlbench.schemas.protocol import Augmentation
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial
from dmlbench.training.session import Session
from dmlbench.trials.run_trial import run_trial

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="torch finds no GPU on this machine"
)
GPU = torch.device("cuda")


def without_measurements(record: Record) -> str:
    return record.model_copy(update={"measurements": {}}).to_json()


@pytest.mark.parametrize("loss", ["Pull", "Proxies"])
@pytest.mark.parametrize("crop", ["centre", "random-resized"])
def test_a_trial_run_twice_leaves_the_same_record(
    trial_of: Callable[..., Trial], zoo: Callable[[str], str], loss: str, crop: str
):
    changes = {"crop": crop, "brightness": "0.4", "contrast": "0.3", "flip": "true"}
    settings = {f"protocol.augmentation.{name}": value for name, value in changes.items()}
    trial = trial_of(losses=(zoo(loss),), settings=settings)
    records = [run_trial(trial, Workplace(Catalogue.discover(), None, GPU)) for _ in range(2)]
    assert [record.reason for record in records] == ["", ""]
    assert without_measurements(records[0]) == without_measurements(records[1])
    assert records[0].settings["device"] == torch.cuda.get_device_name()
    assert still_works(GPU)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_trial_that_is_stopped_at_every_pause_leaves_the_same_record(
    trial_of: Callable[..., Trial], tmp_path: Path, precision: str
):
    settings = {"protocol.precision": precision}
    trial = trial_of(losses=("margin",), miners=("distance-weighted",), settings=settings)
    workplace = Workplace(Catalogue.discover(), None, GPU)
    whole, record, path = run_trial(trial, workplace), None, tmp_path / "one.checkpoint"
    while record is None:
        torch.rand(3, device=GPU)
        asked = iter([False])  # before training; then at each pause
        session = Session(path, stop=partial(next, asked, True))
        with suppress(TrialStoppedError):
            record = run_trial(trial, workplace, session=session)
    assert record.measurements["resumed"] >= 8
    assert without_measurements(record) == without_measurements(whole)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
def test_a_trial_repeats_in_every_precision(
    trial_of: Callable[..., Trial], zoo: Callable[[str], str], precision: str
):
    trial = trial_of(losses=(zoo("Proxies"),), settings={"protocol.precision": precision})
    records = [run_trial(trial, Workplace(Catalogue.discover(), None, GPU)) for _ in range(2)]
    assert [record.reason for record in records] == ["", ""]
    assert without_measurements(records[0]) == without_measurements(records[1])
    assert records[0].settings["precision"] == precision
    full = trial.model_copy(update={"protocol": trial.protocol.change("precision", "float32")})
    other = run_trial(full, Workplace(Catalogue.discover(), None, GPU))
    assert other.epochs[-1].loss == pytest.approx(records[0].epochs[-1].loss, rel=0.1)


def assert_alike(one: RetrievalResult, other: RetrievalResult) -> None:
    """All that is counted is equal, averages are to the last bits of float64."""
    one, other = vars(one.per_query), vars(other.per_query)
    assert one["hits_at"].keys() == other["hits_at"].keys() == {1, 5}
    for name in ("relevant", "negatives", "best_rank", "hits", "ties"):
        assert np.array_equal(one[name], other[name]), name
    for k, hits in one["hits_at"].items():
        assert np.array_equal(hits, other["hits_at"][k]), k
    for name in ("average_precision", "whole_average_precision"):
        assert np.allclose(one[name], other[name], rtol=0, atol=1e-12), name


@pytest.mark.parametrize("gallery", [False, True])
def test_metrics_are_those_of_the_cpu(gallery: bool):
    # Similarities of such vectors are multiples of 1/8, exact everywhere, and many are tied.
    rng = np.random.default_rng(0)
    vectors = rng.choice([-1, 1], size=(700, 16)).astype(np.float32)
    labels = rng.integers(90, size=700) ** 2 // 90
    given = (vectors[:200], labels[:200], vectors[200:], labels[200:])
    given = given if gallery else (vectors, labels)
    options = {"precision_at": (1, 5), "mean_average_precision": True}
    with repeatable(GPU):
        there = evaluate(*given, **options, device=GPU)
        again = evaluate(*given, **options, device=GPU)
        here = [evaluate(*given, **options, precision=name) for name in ("float32", "float64")]
    for other in (again, *here):
        assert_alike(there, other)


@pytest.fixture(params=[None, 30])
def pictures(tmp_path: Path, request: pytest.FixtureRequest) -> StoredPhotos:
    photos = [*some_photos(5, 0), *some_photos(3, 1, 1)]
    images = sources({"train": table([encoded(photo) for photo in photos])})
    kept = PhotoFormat(14, 20, store_side=request.param)
    store, places = photo_store(images, kept, tmp_path, lambda *_: None)
    return StoredPhotos(store, places, 14)


@pytest.mark.parametrize("crop", ["centre", "random", "random-resized"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_batches_are_the_same_whether_or_not_the_photos_lie_on_the_gpu(
    pictures: StoredPhotos, crop: str, interpolation: str
):
    choices = Augmentation(shift=0.1, flip=True, crop=crop, brightness=0.4, hue=0.1)
    squares, photos = pictures.store.squares, pictures.store
    made = []
    for resident in ((), (squares,), (squares, photos)):
        inputs = device_inputs._Pictures(pictures, GPU, resident)
        key, threads = (0, 3), inputs.threads
        feed = Feed(inputs, choices, interpolation, key=key, views=2, threads=threads)
        index = [np.random.default_rng(step).permutation(8)[:6] for step in range(5)]
        made.append([*feed.batches(1, index)])
    for one, *others in zip(*made, strict=True):
        for other in others:
            assert one.device.type == other.device.type == "cuda"
            assert torch.equal(one, other)
            assert one.stride() == other.stride()
