"""Real trials: equal embeddings, those that differ by rounding only, and a narrow cone."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from dmlbench.audit.plausibility import faults
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.data.items import load_data
from dmlbench.retrieval import evaluate
from dmlbench.trials.run_trial import learn, run_trial
from dmlbench.trials.scoring import score_retrieval

COLLAPSING = f"{Path(__file__).parents[1]}/support/collapsing.py:Collapsing"
EQUAL = ["zero", "dead"]
ROUNDED = ["one image", "tiny inputs", "tiny spread of unit vectors"]
CONES = [
    ("big bias", "100"),
    ("big bias", "10000"),
    ("narrow spread of unit vectors", "100"),
    ("narrow spread of unit vectors", "1000"),
]


@pytest.fixture
def workplace() -> Workplace:
    return Workplace(Catalogue.discover(), None, torch.device("cpu"))


@pytest.fixture(params=[1, 2])
def threads(request):
    """Compute with so many threads; `run_trial` always takes one."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def collapsing(trial_of, zoo):
    """Return the trial of a network that makes a certain kind of embeddings."""

    def trial(made, size="1.0", **settings):
        return trial_of(
            losses=(zoo("Pull"),),
            backbone=COLLAPSING,
            settings={
                "backbone.made": made,
                "backbone.size": size,
                "protocol.embedding_dim": "32",
                **settings,
            },
        )

    return trial


def scored(trial, workplace, **options):
    """Return the figures of a trial and its test embeddings with their labels."""
    data = load_data(workplace.make("dataset", trial.dataset), None, 8)
    kept = {}
    found = score_retrieval(
        trial,
        data,
        (1, 8),
        partial(learn, trial, workplace),
        lambda epoch: None,
        keep=kept.update,
        **options,
    )
    return found, kept["test"].embeddings, data.splits["test"].labels


def right_at_rank_1(embeddings, labels):
    """Return Recall@1 of squared distances by differences in float64."""
    rows = embeddings.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    distance = np.square(rows[:, None] - rows).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    return float(np.mean(labels[distance.argmin(axis=1)] == labels))


@pytest.mark.parametrize("made", EQUAL + ROUNDED)
def test_a_network_whose_outputs_differ_by_its_rounding_only_scores_zero(
    collapsing, workplace, threads, made
):
    found, kept, _ = scored(collapsing(made), workplace)
    assert found["collapsed"]
    assert found["metrics"] == found["last_epoch_metrics"]
    assert found["metrics"].pop("tied") == 1
    assert set(found["metrics"].values()) == {0}
    if made.startswith("tiny"):
        assert len(np.unique(kept, axis=0)) > 1


@pytest.mark.parametrize(("made", "size"), CONES)
def test_a_narrow_cone_is_ranked_as_it_is(collapsing, workplace, threads, made, size):
    found, kept, labels = scored(collapsing(made, size), workplace)
    assert np.linalg.norm(kept - kept[0], axis=1).max() < 0.1
    assert not found["collapsed"]
    result = evaluate(kept, labels, recall_at=(1, 8))
    assert found["metrics"] == {key: result.metrics[key] for key in found["metrics"]}
    assert found["metrics"]["recall@1"] == right_at_rank_1(kept, labels) > 0.9


@pytest.mark.parametrize("made", [*EQUAL, *ROUNDED, "big bias"])
def test_the_record_of_a_collapse_is_plausible_and_says_so(collapsing, workplace, made):
    record = run_trial(collapsing(made, "100"), workplace, metrics=("nmi", "ami", "mrr", "map"))
    assert record.status == "finished", record.reason
    assert faults(record) == []
    assert record.collapsed == (made != "big bias")
    if record.collapsed:
        assert record.metrics["nmi"] == record.metrics["ami"] == 0
        assert record.per_query["best_rank"].unpack().min() == 24 - 6 + 1  # behind all others
        assert record.metrics["mean_reciprocal_rank"] == pytest.approx(1 / 19)


def test_a_validation_that_collapsed_selects_no_epoch_by_its_rounding(collapsing, workplace):
    trial = collapsing("tiny inputs", **{"protocol.validation.min_classes": "4"})
    found, _, _ = scored(trial, workplace)
    assert [epoch.validation["map_at_r"] for epoch in found["epochs"]] == [0, 0, 0]
    assert found["selected_epoch"] == 1
    assert not found["details"]["beats_epoch_0"]


@pytest.mark.parametrize("baseline", ["untrained", "pixels"])
def test_a_baseline_with_ties_has_not_collapsed(trial_of, workplace, baseline):
    settings = {"dataset.noise": "0"}  # every image of a class is the same
    record = run_trial(trial_of(baselines=(baseline,), settings=settings), workplace)
    assert record.metrics["recall@1"] == 1
    assert not record.collapsed


def test_a_fold_that_collapsed_has_no_right_vote(trial_of, zoo, workplace):
    settings = {"protocol.optimiser.lr": "1e-12", "protocol.length.epochs": "1"}
    trial = trial_of(
        datasets=("iris",),
        protocol="vectors",
        losses=(zoo("Pull"),),
        backbone=COLLAPSING.replace("Collapsing", "FarAway"),
        settings=settings,
    )
    record = run_trial(trial, workplace)
    assert record.status == "finished", record.reason
    assert faults(record) == []
    assert record.collapsed
    assert record.metrics == {"knn_accuracy": 0}
