"""A network that is trained anew on all classes, up to the epoch that held-out classes selected."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
import torch
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

from dmlbench.audit.plausibility import faults
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.compute.determinism import repeatable
from dmlbench.data.items import Data, Items, load_data
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial
from dmlbench.training.learner_state import State
from dmlbench.trials.course import curve_sample
from dmlbench.trials.run_trial import learn, run_trial
from dmlbench.trials.scoring import score_retrieval
from dmlbench.trials.selection import learn_and_select


def workplace() -> Workplace:
    return Workplace(Catalogue.discover(), None, torch.device("cpu"))


def changed(trial: Trial, **changes: object) -> Trial:
    """Return a trial with another protocol: ``validation__then="retrain-all"``."""
    protocol = trial.protocol
    for key, value in changes.items():
        protocol = protocol.change(key.replace("__", "."), str(value))
    return trial.model_copy(update={"protocol": protocol})


class Spied(Learner):
    """Notes what is embedded, by the number of the training and the epoch."""

    def __init__(self, *noises: float) -> None:
        super().__init__(*noises)
        self.seen: list[tuple[int, int, Items]] = []

    def __call__(self, items: Items) -> Iterator[State]:
        training = len(self.given)
        self.finished = False
        for state in super().__call__(items):
            embed = partial(self.note, training, state.epoch, state.embed)
            yield State(state.epoch, state.loss, embed, state.details)

    def note(self, training, epoch, embed, items):
        self.seen.append((training, epoch, items))
        return embed(items)


def is_test(items: Items) -> bool:
    return bool(items.labels.min() >= 8)


@pytest.mark.parametrize("then", ["stop", "retrain-all"])
def test_test_items_are_embedded_for_curves_and_at_the_end_and_for_nothing_else(then):
    many = Data({**DATA.splits, "test": clouds(6, 8, 0.5, seed=2, size=200)}, (), "")
    learner = Spied(3.0, 1.0, 0.1, 2.0)
    trial = make_trial(class_fraction=0.5, min_classes=2, then=then)
    found = score_retrieval(trial, many, RECALL_AT, learner, ignore)
    test = many.splits["test"]
    whole = [seen[:2] for seen in learner.seen if is_test(seen[2]) and len(seen[2]) == len(test)]
    part = [seen for seen in learner.seen if is_test(seen[2]) and len(seen[2]) < len(test)]
    assert found["selected_epoch"] == 2
    if then == "stop":
        assert whole == [(0, 3), (0, 2)]
        assert [seen[:2] for seen in part] == [(0, epoch) for epoch in range(4)]
        assert all(np.array_equal(seen[2].inputs, curve_sample(test).inputs) for seen in part)
    else:
        assert whole == [(1, 2)]
        assert part == []
    assert [seen[:2] for seen in learner.seen][-1] == whole[-1]


@pytest.mark.parametrize("then", ["stop", "retrain-all"])
def test_another_test_set_changes_nothing_but_its_own_figures(then):
    trial = make_trial(class_fraction=0.5, min_classes=2, then=then)
    found = []
    for test in (DATA.splits["test"], clouds(3, 40, 9.0, seed=5)):
        data = Data({**DATA.splits, "test": test}, (), "")
        found.append(score_retrieval(trial, data, RECALL_AT, Learner(3.0, 1.0, 0.1, 2.0), ignore))
    for name in ("selected_epoch", "selection", "retraining"):
        assert found[0][name] == found[1][name]
    for one, other in zip(found[0]["epochs"], found[1]["epochs"], strict=True):
        assert one.validation == other.validation
        assert one.distances["train"] == other.distances["train"]
    assert found[0]["metrics"] != found[1]["metrics"]


def test_a_network_is_trained_anew_on_all_classes_up_to_the_selected_epoch():
    learner, told = Learner(*NINE_EPOCHS), []
    trial = make_trial(class_fraction=0.5, min_classes=2, every=3, then="retrain-all")
    found = score_retrieval(trial, DATA, RECALL_AT, learner, told.append)
    part, whole = learner.given
    assert len(part) < len(whole)
    assert whole is DATA.splits["train"]
    assert found["selected_epoch"] == 6
    assert found["selection"] == "best MAP@R on held-out classes, then retrained on all"
    assert told == [*found["epochs"], *found["retraining"]]
    again = found["retraining"]
    assert [epoch.epoch for epoch in again] == [*range(7)]
    assert {epoch.retraining for epoch in again} == {True}
    assert {epoch.retraining for epoch in found["epochs"]} == {False}
    assert [epoch.epoch for epoch in again if epoch.distances] == [0, 3, 6]
    assert not any(epoch.validation for epoch in again)
    assert found["metrics"].items() >= metrics(blurred(0.4), DATA.splits["test"]).items()
    assert found["last_epoch_metrics"] == found["metrics"]
    assert found["details"]["epoch"] == 6
    assert found["details"]["validation_items"] == len(whole) - len(part)


@pytest.mark.parametrize("validation", [{"class_fraction": 0}, {"min_classes": 9}])
@pytest.mark.parametrize("kind", ["loss", "baseline"])
def test_where_no_classes_are_held_out_there_is_one_training(validation, kind):
    usual = {"class_fraction": 0.5, "min_classes": 2, "then": "retrain-all"}
    learner = Learner(1.0, 0.5, 0.7)
    trial = make_trial(kind, **(usual | (validation if kind == "loss" else {})))
    found = score_retrieval(trial, DATA, RECALL_AT, learner, ignore)
    assert len(learner.given) == 1
    assert found["selection"] == "last epoch"
    assert found["retraining"] == []
    assert set(found["epochs"][0].distances) == {"train", "test"}


@pytest.mark.parametrize("loss", ["Pull", "Proxies"])
@pytest.mark.parametrize("steps", ["3", "pass"])
@pytest.mark.parametrize("epoch", [1, 3, 4])
def test_what_is_trained_anew_is_a_plain_training_cut_at_that_epoch_to_the_bit(
    trial_of, zoo, loss, steps, epoch
):
    here = workplace()
    settings = {"length.epochs": "4", "length.steps_per_epoch": steps, "optimiser.lr": "0.01"}
    settings |= {"validation.min_classes": "4", "optimiser.schedule": "cosine"}
    trial = trial_of(
        losses=(zoo(loss),),
        settings={f"protocol.{key}": value for key, value in settings.items()},
    )
    retrained = changed(trial, validation__then="retrain-all")
    plain = changed(trial, validation__class_fraction=0)
    data = load_data(here.make("dataset", trial.dataset), None, 8)
    scores = iter([0.5 + 0.1 * (number == epoch) for number in range(5)])
    with repeatable(here.device):
        found = learn_and_select(
            retrained,
            data.splits["train"],
            partial(learn, retrained, here),
            lambda items, embed: {"map_at_r": next(scores)},
            {},
            ignore,
        )
        assert found.epoch == epoch
        anew = found.last.embed(data.splits["test"])
        losses = []
        for state in learn(plain, here, data.splits["train"]):
            losses.append(state.loss)
            if state.epoch == epoch:
                expected = state.embed(data.splits["test"])
    assert np.array_equal(anew, expected)
    assert [entry.loss for entry in found.retraining.epochs] == losses[: epoch + 1]
    assert found.last.details["train_items"] == len(data.splits["train"])


def test_a_trial_with_two_trainings_leaves_the_same_record_twice(trial_of, zoo):
    trial = changed(
        trial_of(losses=(zoo("Proxies"),)),
        validation__min_classes=4,
        validation__every=2,
        validation__then="retrain-all",
        length__epochs=3,
    )
    told = []
    first = run_trial(trial, workplace(), told.append)
    second = run_trial(trial, workplace())
    assert first.status == "finished", first.reason
    assert first.retraining
    assert [*first.epochs, *first.retraining] == told
    assert faults(first) == []
    assert first.details["train_items"] == 24
    assert first.details["validation_items"] == 12
    assert first.details["loss_parameters"] == 4 * 4  # a proxy for each of all classes
    records = [each.model_copy(update={"measurements": {}}).to_json() for each in (first, second)]
    assert records[0] == records[1]
    assert Record.model_validate_json(records[0]).retraining == first.retraining
