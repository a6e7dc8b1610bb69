"""Figures of the network that counts: what they are computed from, and where."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from support.made_learners import DATA, Learner, blurred, clouds, ignore, make_trial

from dmlbench.data.items import Data, Items
from dmlbench.retrieval import evaluate, mean_distances
from dmlbench.training.learner_state import State
from dmlbench.trials import figures
from dmlbench.trials.scoring import score_retrieval

RECALL_AT = (1, 2, 4)


def test_test_labels_are_not_scored_before_the_learner_is_done(monkeypatch):
    learner = Learner(2.0, 0.1, 1.0)
    seen = []

    def spy(embeddings, labels, **options):
        seen.append((learner.finished, bool((labels >= 8).any())))
        return evaluate(embeddings, labels, **options)

    monkeypatch.setattr(figures, "evaluate", spy)
    score_retrieval(make_trial(class_fraction=0.5, min_classes=2), DATA, RECALL_AT, learner, ignore)
    assert [is_test for finished, is_test in seen if not finished] == [False] * 3
    assert [is_test for finished, is_test in seen if finished] == [True] * 2


@pytest.mark.parametrize("gallery", [False, True])
@pytest.mark.parametrize("name", ["cuda:1", "cpu"])
def test_metrics_are_computed_on_the_gpu_of_the_trial(monkeypatch, name, gallery):
    asked = []

    def spy(*given, device=None, **options):
        asked.append(device)
        return evaluate(*given, **options)

    monkeypatch.setattr(figures, "evaluate", spy)
    parts = {"query": clouds(6, 8, 0.5, 2), "gallery": clouds(6, 8, 0.5, 3)}
    splits = {"train": DATA.splits["train"], **parts} if gallery else DATA.splits
    trial, device = make_trial(class_fraction=0.5, min_classes=2), torch.device(name)
    learner = Learner(2.0, 0.1, 1.0)
    score_retrieval(trial, Data(splits, (), ""), RECALL_AT, learner, ignore, device=device)
    assert asked == [device if name == "cuda:1" else None] * 5


def test_figures_of_each_query_make_up_the_metrics():
    found = score_retrieval(make_trial(class_fraction=0), DATA, RECALL_AT, Learner(1.0), ignore)
    rows = {name: array.unpack() for name, array in found["per_query"].items()}
    assert {len(row) for row in rows.values()} == {len(DATA.splits["test"])}
    assert rows["average_precision"].mean() == pytest.approx(found["metrics"]["map_at_r"])
    assert np.array_equal(
        rows["class"], DATA.splits["test"].labels - DATA.splits["test"].labels.min()
    )
    for k in RECALL_AT:
        assert (rows["best_rank"] <= k).mean() == pytest.approx(found["metrics"][f"recall@{k}"])
    ratio = (rows["hits"] / rows["relevant"]).mean()
    assert ratio == pytest.approx(found["metrics"]["r_precision"])


@pytest.mark.parametrize("class_fraction", [0, 0.5])
def test_the_embeddings_that_are_kept_are_those_of_the_selected_epoch(class_fraction):
    kept = {}
    trial = make_trial(class_fraction=class_fraction, min_classes=2)
    found = score_retrieval(trial, DATA, RECALL_AT, Learner(1.0, 0.5), ignore, kept.update)
    test = kept["test"]
    again = evaluate(test.embeddings, test.labels, recall_at=RECALL_AT)
    assert set(kept) == {"test"}
    assert test.labels.tolist() == DATA.splits["test"].labels.tolist()
    assert list(test.names) == [f"test/{row}" for row in range(len(test.labels))]
    assert again.map_at_r == found["metrics"]["map_at_r"]
    assert again.recall_at[1] == found["metrics"]["recall@1"]


def test_a_collapsed_network_scores_zero_and_is_marked():
    def learn(items: Items) -> Iterator[State]:
        yield State(0, None, lambda some: np.ones((len(some), 4), dtype=np.float32))

    found = score_retrieval(make_trial(class_fraction=0), DATA, RECALL_AT, learn, ignore)
    assert found["collapsed"]
    assert found["metrics"]["map_at_r"] == found["metrics"]["recall@1"] == 0
    assert found["metrics"]["tied"] == 1
    assert found["epochs"][0].distances["test"].negative == pytest.approx(0, abs=1e-12)


def test_a_network_that_collapses_after_the_epoch_that_counts_is_marked_too():
    def learn(items: Items) -> Iterator[State]:
        yield State(0, None, blurred(0.5))
        yield State(1, 0.0, blurred(0.5))
        yield State(2, 0.0, lambda some: np.ones((len(some), 4), dtype=np.float32))

    trial = make_trial(class_fraction=0.5, min_classes=2)
    found = score_retrieval(trial, DATA, RECALL_AT, learn, ignore)
    assert found["selected_epoch"] == 1
    assert found["metrics"]["map_at_r"] > 0
    assert found["collapsed"]


def test_details_tell_of_the_learner_and_of_test():
    lonely = Items(
        np.concatenate([DATA.splits["test"].inputs, np.ones((1, 8), np.float32)]),
        np.append(DATA.splits["test"].labels, 99),
    )
    data = Data({"train": DATA.splits["train"], "test": lonely}, (), "")
    details = score_retrieval(
        make_trial(class_fraction=0), data, RECALL_AT, Learner(1.0, 0.5), ignore
    )["details"]
    assert details["epoch"] == 1
    assert details["lone_queries"] == 1
    assert details["validation_items"] == 0


def test_queries_retrieve_in_the_gallery_at_the_selected_epoch():
    splits = {
        "train": DATA.splits["train"],
        "query": clouds(6, 8, 0.5, seed=2, size=3),
        "gallery": clouds(5, 8, 0.5, seed=2, size=4),  # the sixth class of the queries is not in it
    }
    learner = Learner((9.0, 0.5), (3.0, 0.0), (0.1, 1.0), (3.0, 0.0))
    trial = make_trial(class_fraction=0.5, min_classes=2)
    found = score_retrieval(trial, Data(splits, (), ""), RECALL_AT, learner, ignore)
    assert found["selected_epoch"] == 2
    for noise, name in ((1.0, "metrics"), (0.0, "last_epoch_metrics")):
        queries, gallery = (blurred(noise)(splits[split]) for split in ("query", "gallery"))
        similarity = queries @ gallery.T / np.linalg.norm(gallery, axis=1)
        nearest = splits["gallery"].labels[similarity.argmax(1)][:15]
        recall = (nearest == splits["query"].labels[:15]).mean()
        assert found[name]["recall@1"] == pytest.approx(recall)
    details = found["details"]
    assert details["test_items"] == 18
    assert details["lone_queries"] == 3
    assert details["gallery_items"] == 20
    for epoch, noise in zip(found["epochs"], (0.5, 0.0, 1.0, 0.0), strict=True):
        expected = mean_distances(blurred(noise)(splits["query"]), splits["query"].labels)
        assert epoch.distances["test"].model_dump() == expected._asdict()
