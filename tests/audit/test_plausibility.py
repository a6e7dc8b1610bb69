"""What a run leaves is plausible, and whatever is changed in it by hand is not."""

import base64
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from dmlbench.audit.plausibility import faults
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.planning.planner import Planner
from dmlbench.schemas.record import Array, Distances, Record
from dmlbench.schemas.suite import Suite
from dmlbench.trials.run_trial import run_trial

TINY = {"protocol.length.epochs": "1", "protocol.length.steps_per_epoch": "2"}
CASES = ("trained", "baseline", "validated", "retrained", "cross-validated", "failed")


@pytest.fixture(scope="module")
def left_by_runs() -> dict[str, Record]:
    """Return records that real trials left, by what is special in them."""
    import torch

    planner = Planner(Catalogue.discover())
    workplace = Workplace(planner.catalogue, None, torch.device("cpu"))
    requests = {
        "trained": {"datasets": ("digits-closed",), "losses": ("contrastive",), "baselines": ()},
        "baseline": {"datasets": ("digits-closed",), "losses": (), "baselines": ("pixels",)},
        "validated": {"datasets": ("glyphs",), "losses": ("proxy-anchor",), "baselines": ()},
        "cross-validated": {"datasets": ("iris",), "losses": ("contrastive",), "baselines": ()},
    }
    requests["retrained"] = requests["validated"]
    records = {}
    for name, request in requests.items():
        (trial,) = planner.unfold(Suite(**request, seeds=(0,), settings=TINY)).trials
        if name == "retrained":
            protocol = trial.protocol.change("validation.then", "retrain-all")
            protocol = protocol.change("validation.every", "2").change("length.epochs", "3")
            trial = trial.model_copy(update={"protocol": protocol})
        records[name] = run_trial(trial, workplace)
        assert records[name].status == "finished", records[name].reason
    reason = {"status": "failed", "reason": "The loss became nan."}
    trained = records["trained"]
    records["failed"] = Record(id=trained.id, trial=trained.trial, **reason)
    return records


@pytest.fixture
def trained(left_by_runs) -> Record:
    return left_by_runs["trained"]


def with_array(record: Record, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Record:
    array = Array.pack(change(record.per_query[name].unpack().copy()))
    return record.model_copy(update={"per_query": {**record.per_query, name: array}})


def with_first(record: Record, name: str, value: float) -> Record:
    def put(values: np.ndarray) -> np.ndarray:
        values[0] = value
        return values

    return with_array(record, name, put)


@pytest.mark.parametrize("case", CASES)
def test_what_a_run_left_is_plausible(left_by_runs, case):
    assert faults(left_by_runs[case]) == []


def test_records_of_before_the_classes_were_kept_are_plausible(trained):
    held = {name: array for name, array in trained.per_query.items() if name != "class"}
    assert faults(trained.model_copy(update={"per_query": held})) == []


@pytest.mark.parametrize("case", ["trained", "baseline", "validated", "cross-validated"])
def test_every_metric_is_recomputed(left_by_runs, case):
    record = left_by_runs[case]
    for name in set(record.metrics) - {"tied"}:
        better = {**record.metrics, name: min(1.0, record.metrics[name] + 0.01)}
        if better != record.metrics:
            found = faults(record.model_copy(update={"metrics": better}))[-1]
            assert found.startswith(f"its {name} is {better[name]:.6f}")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metrics": {"map_at_r": float("nan")}}, "not finite"),
        ({"metrics": {}}, "lacks the metric"),
        ({"details": {}}, "test items is None"),
        ({"details": {"test_items": True}}, "test items is True"),
        ({"details": {"test_items": 10**9}}, "test items is 1000000000"),
        ({"details": {"test_items": 7, "lone_queries": 0}}, "each of the 7 test items"),
        ({"per_query": {}}, "per-query results are missing"),
        ({"epochs": []}, "its epochs are not those from 0 to 1"),
        ({"selected_epoch": 0}, "by its validation it would be 1"),
        ({"last_epoch_metrics": {}}, "its last epoch's metrics"),
        ({"versions": {"torch": "2"}}, "which version of dmlbench and numpy"),
        ({"status": "failed", "reason": ""}, "failed without a reason"),
        ({"status": "failed", "reason": "x"}, "failed and yet has figures"),
    ],
)
def test_what_is_missing_or_contradicts_itself_is_named(trained, changes, words):
    assert words in "; ".join(faults(trained.model_copy(update=changes)))


def test_a_metric_that_nothing_gives_is_refused(trained):
    metrics = {**trained.metrics, "my_own": 0.5}
    more = {"metrics": metrics, "last_epoch_metrics": metrics}
    assert faults(trained.model_copy(update=more)) == ["nothing in it gives its metric 'my_own'"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("relevant", -1),
        ("relevant", 10**6),
        ("best_rank", 0),
        ("best_rank", 10**6),
        ("hits", -1),
        ("hits", 500),
        ("average_precision", -0.5),
        ("average_precision", 1.01),
        ("average_precision", float("nan")),
        ("class", -1),
        ("class", 3),  # one item more of that class, so the counts of its class no longer fit
    ],
)
def test_values_that_no_query_can_have_are_found(trained, name, value):
    found = faults(with_first(trained, name, value))
    expected = "class" if (name, value) == ("relevant", -1) else name
    assert any("has values that can't be" in fault for fault in found), found
    assert any(f"per_query.{part}" in found[0] for part in (name, expected))


def test_hits_and_ranks_must_agree(trained):
    hits = trained.per_query["hits"].unpack()
    place = int(np.flatnonzero(hits > 1)[0])

    def none(values: np.ndarray) -> np.ndarray:
        values[place] = 0
        return values

    assert "per_query.hits has values that can't be" in faults(with_array(trained, "hits", none))


def test_correct_is_zero_or_one(left_by_runs):
    found = faults(with_first(left_by_runs["cross-validated"], "correct", 2))
    assert "per_query.correct has values other than 0 and 1" in found


def test_arrays_of_another_type_or_damaged_are_refused(trained):
    wide = with_array(trained, "hits", lambda values: values.astype(np.int64))
    assert faults(wide) == ["per_query.hits is of type '<i8', not '<i4'"]
    torn = trained.per_query | {"hits": Array(dtype="<i4", data="####")}
    assert "per_query.hits is damaged" in faults(trained.model_copy(update={"per_query": torn}))[0]


def test_a_small_file_cannot_fill_the_memory(trained):
    bomb = base64.b64encode(zlib.compress(bytes(50 * 2**20), 9)).decode()
    held = trained.per_query | {"hits": Array(dtype="<i4", data=bomb)}
    (found,) = faults(trained.model_copy(update={"per_query": held}))
    assert "per_query.hits has not one value for each" in found


def test_epochs_must_have_possible_values(left_by_runs):
    record = left_by_runs["validated"]
    epochs = [epoch.model_copy(deep=True) for epoch in record.epochs]
    epochs[1].distances["test"] = Distances(positive=2.5, negative=0.5)
    found = faults(record.model_copy(update={"epochs": epochs}))
    assert found == ["epochs.1.distances.test.positive is out of range"]


def with_scores(record: Record, *scores: float, **changes: object) -> Record:
    """Return a record with other MAP@R on held-out classes, at the epochs that have one."""
    left = iter(scores)
    epochs = [
        epoch.model_copy(update={"validation": {"map_at_r": next(left)}})
        if epoch.validation
        else epoch
        for epoch in record.epochs
    ]
    return record.model_copy(update={"epochs": epochs, **changes})


@pytest.mark.parametrize(
    ("scores", "semantics", "expected"),
    [
        ((0.2, 0.3), 4, 1),
        ((0.3, 0.2), 4, 1),  # epoch 0 is no candidate
        ((0.2, 0.3), 3, 1),
        ((0.3, 0.2), 3, 0),  # then it was
        ((0.3, 0.3), 3, 0),
    ],
)
def test_the_epoch_that_counts_is_that_of_validation_by_the_rules_of_the_time(
    left_by_runs, scores, semantics, expected
):
    record = left_by_runs["validated"]
    trial = record.trial.model_copy(update={"semantics": semantics})
    details = record.details | {"beats_epoch_0": scores[1] > scores[0]}
    for epoch in (0, 1):
        changes = {"trial": trial, "details": details, "selected_epoch": epoch}
        found = [
            fault
            for fault in faults(with_scores(record, *scores, **changes))
            if "follow the rules" not in fault
        ]
        told = f"epoch {epoch} counts, by its validation it would be {expected}"
        assert found == ([] if epoch == expected else [told])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"retraining": []}, "its retraining is not of the epochs from 0 to"),
        ({"metrics": None}, "its last epoch's metrics"),
        ({"selected_epoch": 1}, "epoch 1 counts, by its validation"),
        ({"details": None}, "whether epoch 0 was beaten"),
    ],
)
def test_what_a_retraining_says_must_fit(left_by_runs, changes, words):
    record = left_by_runs["retrained"]
    if "metrics" in changes:
        last = {name: value / 2 for name, value in record.metrics.items()}
        changes = {"last_epoch_metrics": last}
    if "details" in changes:
        beats = record.details["beats_epoch_0"]
        changes = {"details": record.details | {"beats_epoch_0": not beats}}
    assert words in "; ".join(faults(record.model_copy(update=changes)))


def test_epochs_are_validated_when_the_protocol_says(left_by_runs):
    record = left_by_runs["retrained"]
    assert [epoch.epoch for epoch in record.epochs if epoch.validation] == [0, 2, 3]
    epochs = [
        epoch.model_copy(update={"validation": record.epochs[2].validation})
        for epoch in record.epochs
    ]
    found = faults(record.model_copy(update={"epochs": epochs}))
    assert "its validated epochs are not those that its protocol measures" in found


def test_a_baseline_is_not_validated(left_by_runs):
    record = left_by_runs["baseline"]
    (epoch,) = record.epochs
    validated = epoch.model_copy(update={"validation": {"map_at_r": 0.5}})
    found = faults(record.model_copy(update={"epochs": [validated]}))
    assert found == ["its validated epochs are not those that its protocol measures"]


def test_a_training_that_was_not_asked_for_is_found(left_by_runs):
    record = left_by_runs["validated"]
    found = faults(record.model_copy(update={"retraining": record.epochs}))
    assert found == ["it has a retraining that its protocol does not ask for"]


def test_other_rules_and_seeds_below_zero_are_refused(trained):
    for changes, words in (({"semantics": 1}, "semantics 1"), ({"seed": -1}, "below 0")):
        trial = trained.trial.model_copy(update=changes)
        assert words in faults(trained.model_copy(update={"trial": trial}))[0]
