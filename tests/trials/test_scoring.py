"""Figures from a learner: which epoch counts, and that test has no say in it."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from dmlbench.compute.determinism import SPLIT_STREAM
from dmlbench.data.items import Data, Items
from dmlbench.data.splits import hold_out_classes
from dmlbench.retrieval import evaluate, mean_distances
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.trial import Part, Trial
from dmlbench.training.learner_state import State
from dmlbench.trials import scoring
from dmlbench.trials.scoring import CURVE_ITEMS, score_by_cross_validation, score_retrieval

RECALL_AT = (1, 2, 4)


def make_trial(kind: str = "loss", seed: int = 0, **validation: object) -> Trial:
    protocol = load_protocol("small")
    for key, value in validation.items():
        protocol = protocol.change(f"validation.{key}", str(value))
    return Trial(
        dataset=Part(reference="x", name="x"),
        fingerprint="",
        protocol=protocol,
        parts={kind: Part(reference="y", name="y")},
        seed=seed,
    )


def clouds(classes: int, first: int, spread: float, seed: int, size: int = 5) -> Items:
    """Return points ``[N, 8]`` around one centre a class, labelled from `first` on."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(first, first + classes), size)
    centres = rng.normal(size=(classes, 8))
    points = centres[labels - first] + rng.normal(0, spread, (len(labels), 8))
    return Items(points.astype(np.float32), labels)


DATA = Data(
    {"train": clouds(8, 0, 0.5, seed=1), "test": clouds(6, 8, 0.5, seed=2)}, ("a",) * 14, ""
)


def blurred(noise: float) -> Callable[[Items], np.ndarray]:
    """Return an embedding that is worse the more noise is added; the same for the same items."""

    def embed(items: Items) -> np.ndarray:
        rng = np.random.default_rng(len(items))
        return items.inputs + rng.normal(0, noise, items.inputs.shape).astype(np.float32)

    return embed


class Learner:
    """Goes through epochs of given noise, on validation classes and on test classes apart."""

    def __init__(self, *noises: float | tuple[float, float]) -> None:
        self.noises = noises
        self.given: list[Items] = []
        self.finished = False

    def __call__(self, items: Items) -> Iterator[State]:
        self.given.append(items)
        for epoch, noise in enumerate(self.noises):
            yield State(epoch, None if epoch == 0 else 0.5, self.embedding(noise), {"epoch": epoch})
        self.finished = True

    def embedding(self, noise: float | tuple[float, float]) -> Callable[[Items], np.ndarray]:
        train, test = noise if isinstance(noise, tuple) else (noise, noise)
        return lambda items: blurred(test if items.labels.min() >= 8 else train)(items)


def ignore(epoch: object) -> None:
    pass


def metrics(embed: Callable[[Items], np.ndarray], items: Items) -> dict[str, float]:
    result = evaluate(embed(items), items.labels, recall_at=RECALL_AT)
    recall = {f"recall@{k}": value for k, value in result.recall_at.items()}
    return {**recall, "r_precision": result.r_precision, "map_at_r": result.map_at_r}


# Retrieval


def test_the_epoch_is_selected_on_held_out_classes_though_test_says_otherwise():
    # On held-out classes epoch 2 is best; on test it is the worst.
    learner = Learner((9.0, 0.5), (3.0, 0.0), (0.1, 9.0), (3.0, 0.0))
    trial = make_trial(class_fraction=0.5, min_classes=2)
    found = score_retrieval(trial, DATA, RECALL_AT, learner, ignore)
    assert found["selected_epoch"] == 2
    assert found["selection"] == "best MAP@R on held-out classes"
    expected = metrics(blurred(9.0), DATA.splits["test"])
    last = metrics(blurred(0.0), DATA.splits["test"])
    assert found["metrics"].items() >= expected.items()
    assert found["last_epoch_metrics"].items() >= last.items()
    assert expected["map_at_r"] < last["map_at_r"]
    scores = [epoch.validation["map_at_r"] for epoch in found["epochs"]]
    assert max(scores) == scores[2]


def test_test_labels_are_not_scored_before_the_learner_is_done(monkeypatch):
    learner = Learner(2.0, 0.1, 1.0)
    seen = []

    def spy(embeddings, labels, **options):
        seen.append((learner.finished, bool((labels >= 8).any())))
        return evaluate(embeddings, labels, **options)

    monkeypatch.setattr(scoring, "evaluate", spy)
    score_retrieval(make_trial(class_fraction=0.5, min_classes=2), DATA, RECALL_AT, learner, ignore)
    assert [is_test for finished, is_test in seen if not finished] == [False] * 3
    assert [is_test for finished, is_test in seen if finished] == [True] * 2


@pytest.mark.parametrize("gallery", [False, True])
@pytest.mark.parametrize("name", ["cuda:1", "cpu", None])
def test_metrics_are_computed_on_the_gpu_of_the_trial(monkeypatch, name, gallery):
    asked = []

    def spy(*given, device=None, **options):
        asked.append(device)
        return evaluate(*given, **options)

    monkeypatch.setattr(scoring, "evaluate", spy)
    parts = {"query": clouds(6, 8, 0.5, 2), "gallery": clouds(6, 8, 0.5, 3)}
    splits = {"train": DATA.splits["train"], **parts} if gallery else DATA.splits
    trial, device = make_trial(class_fraction=0.5, min_classes=2), name and torch.device(name)
    learner = Learner(2.0, 0.1, 1.0)
    score_retrieval(trial, Data(splits, (), ""), RECALL_AT, learner, ignore, device=device)
    assert asked == [device if name == "cuda:1" else None] * 5


def test_a_learner_that_changes_is_asked_to_remember_the_epochs_that_may_count():
    noise, asked = [0.0], []

    def learn(items: Items) -> Iterator[State]:
        def embed(some: Items) -> np.ndarray:
            return blurred(noise[0])(some)

        def snapshot() -> Callable[[Items], np.ndarray]:
            asked.append(noise[0])
            return blurred(noise[0])

        for epoch, noise[0] in enumerate((3.0, 0.1, 1.0)):
            yield State(epoch, None, embed, {}, snapshot)

    trial = make_trial(class_fraction=0.5, min_classes=2)
    found = score_retrieval(trial, DATA, RECALL_AT, learn, ignore)
    assert asked == [3.0, 0.1]
    assert found["selected_epoch"] == 1
    test = DATA.splits["test"]
    assert found["metrics"].items() >= metrics(blurred(0.1), test).items()
    assert found["last_epoch_metrics"].items() >= metrics(blurred(1.0), test).items()


def test_of_equal_epochs_the_first_is_selected():
    found = score_retrieval(
        make_trial(class_fraction=0.5, min_classes=2),
        DATA,
        RECALL_AT,
        Learner(2.0, 0.3, 0.3),
        ignore,
    )
    assert found["selected_epoch"] == 1


@pytest.mark.parametrize("validation", [{"class_fraction": 0}, {"min_classes": 9}])
def test_without_held_out_classes_the_last_epoch_counts(validation):
    learner = Learner(0.0, 0.1, 2.0)
    usual = {"class_fraction": 0.5, "min_classes": 2}
    found = score_retrieval(make_trial(**(usual | validation)), DATA, RECALL_AT, learner, ignore)
    assert found["selected_epoch"] == 2
    assert found["selection"] == "last epoch"
    assert found["metrics"] == found["last_epoch_metrics"]
    assert found["metrics"].items() >= metrics(blurred(2.0), DATA.splits["test"]).items()
    assert all(epoch.validation == {} for epoch in found["epochs"])
    assert learner.given[0] is DATA.splits["train"]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_learner_never_sees_the_classes_held_out_for_its_seed(seed):
    learner = Learner(1.0, 0.5)
    trial = make_trial(seed=seed, class_fraction=0.5, min_classes=2)
    found = score_retrieval(trial, DATA, RECALL_AT, learner, ignore)
    rng = np.random.default_rng((seed, SPLIT_STREAM))
    expected, held = hold_out_classes(DATA.splits["train"], 0.5, 2, rng)
    (given,) = learner.given
    assert np.array_equal(given.labels, expected.labels)
    assert np.array_equal(given.inputs, expected.inputs)
    assert found["details"]["validation_items"] == len(held) > 0


def test_a_baseline_learns_from_all_training_classes():
    learner = Learner(0.5)
    trial = make_trial("baseline", class_fraction=0.5, min_classes=2)
    found = score_retrieval(trial, DATA, RECALL_AT, learner, ignore)
    assert learner.given[0] is DATA.splits["train"]
    assert found["selected_epoch"] == 0
    assert found["selection"] == "last epoch"


def test_distances_of_each_epoch_are_recorded_and_told():
    told = []
    learner = Learner(2.0, 1.0)
    found = score_retrieval(make_trial(class_fraction=0), DATA, RECALL_AT, learner, told.append)
    assert told == found["epochs"]
    for epoch, noise in zip(found["epochs"], (2.0, 1.0), strict=True):
        for split, items in DATA.splits.items():
            expected = mean_distances(blurred(noise)(items), items.labels)
            assert epoch.distances[split].model_dump() == expected._asdict()
    assert [epoch.loss for epoch in found["epochs"]] == [None, 0.5]


def test_distances_of_a_large_split_are_measured_on_the_same_items_each_epoch():
    large = Data({"train": clouds(4, 0, 1.0, 0, 600), "test": DATA.splits["test"]}, (), "")
    sizes = []

    def learn(items: Items) -> Iterator[State]:
        for epoch in range(2):
            yield State(epoch, None, lambda some: sizes.append(some) or some.inputs)

    score_retrieval(make_trial(class_fraction=0), large, RECALL_AT, learn, ignore)
    watched = [some for some in sizes if some.labels.max() < 4]
    assert [len(some) for some in watched] == [CURVE_ITEMS] * 2
    assert np.array_equal(watched[0].inputs, watched[1].inputs)
    assert len(np.unique(watched[0].inputs, axis=0)) == CURVE_ITEMS


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
        yield State(1, 0.0, lambda some: np.ones((len(some), 4), dtype=np.float32))

    trial = make_trial(class_fraction=0.5, min_classes=2)
    found = score_retrieval(trial, DATA, RECALL_AT, learn, ignore)
    assert found["selected_epoch"] == 0
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


# Cross-validation


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
