"""Which epoch counts, what is measured on the way, and that test has no say in it."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from support.made_learners import (
    DATA,
    NINE_EPOCHS,
    RECALL_AT,
    Learner,
    blurred,
    clouds,
    ignore,
    make_trial,
    metrics,
)

from dmlbench.compute.determinism import SPLIT_STREAM
from dmlbench.data.items import Data, Items
from dmlbench.data.splits import hold_out_classes
from dmlbench.retrieval import mean_distances
from dmlbench.training.learner_state import State
from dmlbench.training.workload import CURVE_ITEMS
from dmlbench.trials.course import curve_sample
from dmlbench.trials.scoring import score_retrieval


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
    assert asked == [0.1]
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


@pytest.mark.parametrize(
    ("classes", "size", "expected"), [(4, 600, 125), (99, 58, 6), (400, 9, 5), (3000, 2, 2)]
)
def test_a_sample_has_pairs_of_one_class_however_small_classes_are(classes, size, expected):
    items = clouds(classes, 0, 1.0, 0, size)
    sample = curve_sample(items)
    counts = np.bincount(sample.labels, minlength=classes)
    assert 490 <= len(sample) <= CURVE_ITEMS
    assert np.median(counts[counts > 0]) == expected
    assert len(np.unique(sample.inputs, axis=0)) == len(sample)
    assert (counts[: classes // 2] > 0).any()
    assert (counts[classes // 2 :] > 0).any()


# Epoch 0 and epochs that are not measured


@pytest.mark.parametrize(("noises", "beats"), [((0.0, 2.0, 1.0), False), ((2.0, 3.0, 0.1), True)])
def test_the_untrained_network_is_measured_but_never_selected(noises, beats):
    trial = make_trial(class_fraction=0.5, min_classes=2)
    found = score_retrieval(trial, DATA, RECALL_AT, Learner(*noises), ignore)
    scores = [epoch.validation["map_at_r"] for epoch in found["epochs"]]
    assert (max(scores) == scores[0]) != beats
    assert found["selected_epoch"] == 2
    assert found["details"]["beats_epoch_0"] == beats
    assert found["metrics"].items() >= metrics(blurred(noises[2]), DATA.splits["test"]).items()


@pytest.mark.parametrize(
    ("every", "measured", "best"),
    [(1, [*range(9)], 4), (2, [0, 2, 4, 6, 8], 4), (3, [0, 3, 6, 8], 6), (9, [0, 8], 8)],
)
@pytest.mark.parametrize("class_fraction", [0, 0.5])
def test_epochs_are_measured_every_so_often_the_first_and_the_last_always(
    every, measured, best, class_fraction
):
    trial = make_trial(class_fraction=class_fraction, min_classes=2, every=every)
    assert trial.protocol.length.epochs == 8
    told = []
    found = score_retrieval(trial, DATA, RECALL_AT, Learner(*NINE_EPOCHS), told.append)
    assert told == found["epochs"]
    assert [epoch.epoch for epoch in told] == [*range(9)]
    assert [epoch.epoch for epoch in told if epoch.distances] == measured
    validated = [epoch.epoch for epoch in told if epoch.validation]
    assert validated == (measured if class_fraction else [])
    assert found["selected_epoch"] == (best if class_fraction else 8)
    assert [epoch.loss for epoch in told] == [None, *[0.5] * 8]
