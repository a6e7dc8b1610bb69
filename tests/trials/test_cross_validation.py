"""Neighbours on what is learnt from the other folds."""

from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from support.made_learners import ignore, make_trial

from dmlbench.data.items import Data, Items
from dmlbench.training.learner_state import State
from dmlbench.trials.cross_validation import score_by_cross_validation

IRIS = load_iris()


FLOWERS = Data({"all": Items(IRIS.data.astype(np.float32), IRIS.target)}, (), "")


def test_raw_iris_scores_what_scikit_learn_says():
    def learn(items: Items) -> Iterator[State]:
        yield State(0, None, lambda some: some.inputs)

    found = score_by_cross_validation(make_trial("baseline"), FLOWERS, learn, ignore)
    expected = cross_val_score(KNeighborsClassifier(), IRIS.data, IRIS.target)
    accuracy = found["metrics"]["knn_accuracy"]
    assert accuracy == pytest.approx(expected.mean(), abs=1e-12)
    assert accuracy == pytest.approx(0.9733, abs=1e-4)
    assert found["per_query"]["correct"].unpack().mean() == pytest.approx(accuracy)


def test_no_fold_is_scored_on_what_it_learnt_from():
    given: list[Items] = []

    def learn(items: Items) -> Iterator[State]:
        """Know the label of what was learnt, and nothing of the rest."""
        given.append(items)
        known = {row.tobytes() for row in items.inputs}

        def embed(some: Items) -> np.ndarray:
            seen = [row.tobytes() in known for row in some.inputs]
            return np.where(np.array(seen), some.labels, -1)[:, None].astype(np.float32)

        yield State(0, None, embed)

    unique = Items(np.arange(60, dtype=np.float32)[:, None], np.tile([0, 1, 2], 20))
    data = Data({"all": unique}, (), "")
    found = score_by_cross_validation(make_trial("baseline"), data, learn, ignore)
    assert found["metrics"]["knn_accuracy"] == pytest.approx(1 / 3)  # all go to class 0
    assert [len(items) for items in given] == [48] * 5
    for items in given:
        assert np.bincount(items.labels).tolist() == [16, 16, 16]


def test_epochs_are_means_over_the_folds_and_the_last_counts():
    folds = iter(range(5))

    def learn(items: Items) -> Iterator[State]:
        fold = next(folds)
        yield State(0, None, lambda some: np.zeros((len(some), 2), dtype=np.float32))
        yield State(1, float(fold), lambda some: some.inputs, {"fold": fold})

    told = []
    found = score_by_cross_validation(make_trial(), FLOWERS, learn, told.append)
    assert [epoch.loss for epoch in found["epochs"]] == [None, 2.0]
    assert found["epochs"] == told
    assert found["selected_epoch"] == 1
    assert found["metrics"]["knn_accuracy"] > 0.9
    assert found["details"] == {"fold": 4, "test_items": 150}


def test_distances_are_measured_at_the_epochs_that_are_due_alone():
    def learn(items: Items) -> Iterator[State]:
        for epoch in range(9):
            yield State(epoch, float(epoch) or None, lambda some: some.inputs)

    found = score_by_cross_validation(make_trial(every=5), FLOWERS, learn, ignore)
    assert [epoch.epoch for epoch in found["epochs"] if epoch.distances] == [0, 5, 8]
    assert [epoch.loss for epoch in found["epochs"]] == [None, *range(1, 9)]
