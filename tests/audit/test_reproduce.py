"""What counts as the same trial again, and what as the same figures."""

from pathlib import Path

import pytest
import torch

from dmlbench.audit.record_differences import differences
from dmlbench.audit.reproduce import TOLERANCE, compare_records, device_again, plan_again
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.errors import ConfigError, DataError
from dmlbench.schemas.record import Array, Record
from dmlbench.schemas.trial import Part, Trial
from dmlbench.trials.run_trial import run_trial

CPU = torch.device("cpu")


@pytest.fixture
def workplace() -> Workplace:
    return Workplace(Catalogue.discover(), None, torch.device("cpu"))


@pytest.fixture(autouse=True)
def where_the_files_of_records_are(zoo, monkeypatch):
    monkeypatch.chdir(Path(zoo("Pull").rpartition(":")[0]).parent)


@pytest.fixture
def record(trial_of, zoo, workplace) -> Record:
    return run_trial(trial_of(losses=(zoo("Pull"),)), workplace)


def changed(record: Record, **fields) -> Record:
    return record.model_copy(update=fields, deep=True)


def elsewhere(record: Record, **fields) -> Record:
    return changed(record, settings={**record.settings, "cpu": "another"}, **fields)


def moved(record: Record, by: float) -> dict[str, float]:
    return {**record.metrics, "map_at_r": record.metrics["map_at_r"] + by}


# The same figures


def test_a_trial_run_again_is_the_same_to_the_bit(record, workplace):
    (trial,) = plan_again([record], workplace).trials
    found = compare_records(record, run_trial(trial, workplace))
    assert (found.to_the_bit, found.reproduced) == (True, True)
    assert (found.platform, found.versions, found.farthest) == ({}, {}, 0.0)


def test_a_trial_of_a_cpu_runs_again_on_one_though_there_be_a_gpu(record):
    on_gpu = changed(record, settings={**record.settings, "device": "NVIDIA H200"})
    old = changed(record, settings={})
    assert device_again([record, record], "auto") == "cpu"
    assert device_again([record], "cuda") == "cuda"
    for others in ([on_gpu], [record, on_gpu], [old]):
        assert device_again(others, "auto") == "auto"


def test_measurements_and_other_versions_are_no_difference(record):
    versions = {**record.versions, "dmlbench": "9.9"}
    found = compare_records(
        record, changed(record, measurements={"seconds": 1e9}, versions=versions)
    )
    assert found.to_the_bit
    assert found.versions == {"dmlbench": (record.versions["dmlbench"], "9.9")}


def test_the_last_bit_of_one_figure_counts_on_the_same_platform(record):
    again = changed(record, metrics=moved(record, 2**-53))
    found = compare_records(record, again)
    assert [one.field for one in found.differences] == ["metrics.map_at_r"]
    assert not found.reproduced


@pytest.mark.parametrize("fields", [{"settings": {"cpu": "x"}}, {"measurements": {"machine": "x"}}])
def test_on_another_platform_near_is_near_enough(record, fields):
    fields = {key: {**getattr(record, key), **values} for key, values in fields.items()}
    near = compare_records(record, changed(record, metrics=moved(record, TOLERANCE / 2), **fields))
    assert near.reproduced
    assert not near.to_the_bit
    far = compare_records(record, changed(record, metrics=moved(record, 2 * TOLERANCE), **fields))
    assert not far.reproduced
    assert far.farthest == pytest.approx(2 * TOLERANCE)


def test_another_torch_is_another_platform_and_another_pytest_is_not(record):
    settings = {**record.settings, "torch": "9.9"}
    assert compare_records(record, changed(record, settings=settings)).platform == {
        "torch": (record.settings["torch"], "9.9")
    }
    found = compare_records(record, changed(record, versions={**record.versions, "pytest": "9"}))
    assert found.platform == {}
    assert found.versions == {"pytest": ("–", "9")}


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "failed", "reason": "no memory", "metrics": {}},
        {"metrics": {"recall@1": 0.5}},
        {"collapsed": True},
    ],
)
def test_a_failure_a_collapse_or_a_missing_metric_is_never_near(record, fields):
    assert not compare_records(record, elsewhere(record, **fields)).reproduced


def test_what_a_newer_dmlbench_keeps_besides_is_no_difference(record):
    old = changed(record, per_query={"hits": record.per_query["hits"]})
    assert compare_records(old, record).to_the_bit
    assert not compare_records(record, old).to_the_bit


def test_differences_of_epochs_and_queries_are_counted(record):
    hits = record.per_query["hits"].unpack().copy()
    hits[[1, 3]] += 1
    epochs = [*record.epochs[:-1], record.epochs[-1].model_copy(update={"loss": 7.0})]
    again = changed(record, per_query={**record.per_query, "hits": Array.pack(hits)}, epochs=epochs)
    found = {one.field: one.second for one in differences(record, again)}
    assert found == {
        "epochs": "1 of 3 differ, from 2 on",
        "per_query.hits": "2 of 24 items differ",
    }
    damaged = Array(dtype="<i4", data="!")
    broken = changed(record, per_query={**record.per_query, "hits": damaged})
    assert [(one.field, one.second) for one in differences(record, broken)] == [
        ("per_query.hits", "differs, and one is damaged")
    ]
    fewer = changed(record, epochs=record.epochs[:1])
    assert [one.second for one in differences(record, fewer)] == ["1 epoch"]


def test_a_failure_is_reproduced_with_its_reason(trial_of, zoo, workplace):
    trial = trial_of(losses=(zoo("Raising"),))
    failed = run_trial(trial, workplace)
    assert compare_records(failed, run_trial(trial, workplace)).to_the_bit
    assert not compare_records(failed, changed(failed, reason="another")).reproduced


# The same trial


def with_part(record: Record, kind: str, **fields) -> Record:
    trial = record.trial
    if kind == "dataset":
        changes = {"dataset": trial.dataset.model_copy(update=fields)}
    else:
        changes = {"parts": {**trial.parts, kind: trial.parts[kind].model_copy(update=fields)}}
    trial = type(trial).model_validate(trial.model_copy(update=changes).model_dump())
    return changed(record, trial=trial, id=trial.id)


@pytest.mark.parametrize("kind", ["loss", "miner", "sampler", "backbone", "dataset"])
def test_another_source_is_another_trial_and_named(record, workplace, kind):
    other = with_part(record, kind, source="0" * 64)
    with pytest.raises(
        ConfigError, match=f"the {kind} '.*' has a different source .*0000000"
    ) as error:
        plan_again([record, other], workplace)
    assert "dmlbench diff" in str(error.value)


def test_all_that_is_in_the_way_is_said_at_once(record, workplace):
    other = with_part(with_part(record, "loss", source="0" * 64), "miner", source="0" * 64)
    trial = other.trial.model_copy(update={"semantics": 1})
    with pytest.raises(ConfigError, match=r"semantics 1.*the loss .*the miner "):
        plan_again([changed(other, trial=trial)], workplace)


def test_a_component_that_is_not_here_is_named(record, workplace):
    gone = with_part(record, "loss", reference="gone", name="gone", distribution="gone")
    with pytest.raises(ConfigError, match="no loss named 'gone'"):
        plan_again([gone], workplace)
    moved_away = with_part(record, "loss", distribution="other-package")
    with pytest.raises(ConfigError, match=r"is from no package, the record's from other-package"):
        plan_again([moved_away], workplace)


def test_versions_that_differ_are_named_where_a_trial_is_refused(record, workplace):
    other = with_part(record, "loss", source="0" * 64)
    other = changed(other, versions={**record.versions, "torch": "2.1"})
    with pytest.raises(ConfigError, match=r"Versions differ, too: torch 2\.1 there, \S+ here\.$"):
        plan_again([other], workplace)


def test_a_component_that_never_loaded_has_nothing_to_reproduce(record, workplace):
    with pytest.raises(ConfigError, match="could not be loaded even when the record was made"):
        plan_again([with_part(record, "loss", source="")], workplace)


def test_other_data_are_refused(record, workplace):
    trial = record.trial.model_copy(update={"fingerprint": "0" * 16})
    with pytest.raises(DataError, match=r"fingerprint .*, the record's is 0000000000000000"):
        plan_again([changed(record, trial=trial)], workplace)


def test_files_that_a_setting_names_must_have_the_same_content(record, workplace):
    part: Part = record.trial.parts["backbone"]
    other = with_part(record, "backbone", files={"weights": "0" * 64}, source=part.source)
    with pytest.raises(ConfigError, match="A file of the backbone"):
        plan_again([other], workplace)


def test_the_same_trial_twice_runs_once(record, workplace):
    assert len(plan_again([record, record], workplace).trials) == 1


def test_another_version_of_a_library_makes_another_trial_and_is_named(install, trial_of):
    source = (
        "import some_helper\nfrom dmlbench import Loss\nclass Some(Loss):\n takes = 'labels'\n"
        " def forward(self, pairs, selection): return pairs.anchors.sum()\n"
    )
    install("helped", source, {"dmlbench.losses": {"helped": "helped:Some"}})
    folder = install("some-helper", "x = 1", {})
    information = folder / "some_helper-1.0.dist-info"
    (information / "RECORD").write_text("some_helper.py,,\n")

    def planned(version: str) -> Trial:
        (information / "METADATA").write_text(f"Name: some-helper\nVersion: {version}\n")
        return trial_of(losses=("helped",))

    record = run_trial(planned("1.0"), workplace := Workplace(Catalogue.discover(), None, CPU))
    assert record.versions["some-helper"] == "1.0"
    assert planned("1.0").id == record.id
    assert planned("2.0").id != record.id
    with pytest.raises(
        ConfigError, match=r"'helped' imports .*: some-helper 1\.0 there, 2\.0 here"
    ):
        plan_again([record], workplace)
    changed_since = run_trial(record.trial, workplace)
    assert "A library that the loss helped imports changed after" in changed_since.reason
