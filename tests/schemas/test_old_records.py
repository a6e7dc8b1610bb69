"""Records of every older version are read for good, whatever is added to the schemas."""

import json
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from dmlbench import Added, DataError, PluginError
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.source_hash import Source
from dmlbench.planning.planner import Planner
from dmlbench.schemas.base import Schema
from dmlbench.schemas.protocol import Augmentation, Optimiser, Protocol
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.record import Record
from dmlbench.schemas.suite import Suite
from dmlbench.schemas.trial import Part, Trial
from dmlbench.storage import record_store
from dmlbench.storage.record_store import read_record

HERE = Path(__file__).parent / "records-0.1"
KINDS = ("loss", "baseline", "cross-validation", "query-gallery", "failed", "frozen")


@pytest.fixture(params=KINDS)
def old(request) -> Path:
    return HERE / f"{request.param}.json"


def test_a_record_of_each_kind_is_read_with_its_id(old):
    held = json.loads(old.read_text())
    record = read_record(old)
    assert record.id == record.trial.id == held["id"]
    assert record.status == held["status"] == ("failed" if old.stem == "failed" else "finished")
    protocol = held["trial"]["protocol"]
    protocol["tuning"] = "frozen" if protocol.pop("frozen") else "full"  # as it is called now
    assert says_all_of(json.loads(record.to_json()), held)


def says_all_of(written: object, held: object) -> bool:
    """Return whether `written` is `held`, but for keys that it has besides."""
    if isinstance(held, dict) and isinstance(written, dict):
        return all(says_all_of(written.get(key), value) for key, value in held.items())
    if isinstance(held, list) and isinstance(written, list) and len(held) == len(written):
        return all(map(says_all_of, written, held))
    return written == held


# What a later version may add


class LaterOptimiser(Optimiser):
    accumulate: Annotated[int, Field(ge=1), Added(before=1)] = 4
    ema: Annotated[float | None, Added(before=None)] = None


class Cache(Schema):
    chunk: int | None = None


class LaterProtocol(Protocol):
    optimiser: LaterOptimiser
    augmentation: Augmentation
    devices: Annotated[tuple[int, ...], Added(before=(1,))] = (1,)
    cache: Annotated[Cache, Added(before=Cache())] = Cache()


class LaterPart(Part):
    precision: Annotated[str, Added(before="float32")] = "bfloat16"
    note: str = "decides nothing"
    decides_nothing = Part.decides_nothing | {"note"}


class LaterTrial(Trial):
    dataset: LaterPart
    protocol: LaterProtocol
    parts: dict[str, LaterPart]
    tuned: Annotated[dict[str, float], Added(before={})] = {}


class LaterRecord(Record):
    trial: LaterTrial
    restarts: int = 0


@pytest.fixture
def later(monkeypatch):
    monkeypatch.setattr(record_store, "Record", LaterRecord)


def test_records_keep_their_ids_when_fields_are_added(old, later):
    record = read_record(old)
    assert isinstance(record, LaterRecord)
    assert record.id == record.trial.id == json.loads(old.read_text())["id"]
    trial = record.trial
    assert trial.protocol.optimiser.accumulate == 1, "what it did then, not today's default"
    assert {part.precision for part in (trial.dataset, *trial.parts.values())} == {"float32"}


def test_a_record_written_by_the_later_version_is_read_by_it(old, later, tmp_path):
    path = tmp_path / "again.json"
    path.write_text(read_record(old).to_json())
    assert read_record(path) == read_record(old)


CHANGES = (
    {"protocol": {"optimiser": {"accumulate": 4}}},
    {"protocol": {"optimiser": {"ema": 0.9}}},
    {"protocol": {"devices": [1, 1]}},
    {"protocol": {"cache": {"chunk": 32}}},
    {"dataset": {"precision": "bfloat16"}},
    {"tuned": {"lr": 0.1}},
)


def put(into: dict, change: dict) -> None:
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            put(into[key], value)
        else:
            into[key] = value


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_field_that_was_added_counts_at_any_other_value(old, change):
    held = json.loads(old.read_text())["trial"]
    before = Trial.model_validate(held).id
    put(held, change)
    assert LaterTrial.model_validate(held).id != before


def test_a_field_that_decides_nothing_never_counts(old, later):
    trial = read_record(old).trial
    values = trial.model_dump(exclude={"dataset"})
    noted = trial.dataset.model_copy(update={"note": "another"})
    assert LaterTrial(dataset=noted, **values).id == trial.id


def test_a_protocol_has_the_default_of_today_and_set_takes_the_new_field():
    values = load_protocol("small").model_dump()
    protocol = LaterProtocol.model_validate(values)
    assert protocol.optimiser.accumulate == 4
    offered = protocol.fields()
    assert {"optimiser.accumulate", "optimiser.ema", "cache.chunk"} <= set(offered)
    assert "devices" not in offered, "a list is not set by one text"
    as_before = protocol.change("optimiser.accumulate", "1")
    assert as_before.identity() == load_protocol("small").identity()
    assert protocol.change("cache.chunk", "8").identity()["cache"] == {"chunk": 8}


# Hyper-parameters that a component is given later

LOSS = '''
from typing import Annotated
from dmlbench import Added, Loss, Uniform

class Mine(Loss):
    """Does nothing."""

    takes = "labels"

    def __init__(self, *, margin: Annotated[float, Uniform(0, 1)] = 0.2{more}):
        super().__init__()
        self.settings = {settings}

    def forward(self, pairs, selection):
        return pairs.similarity.sum() * 0
'''
ADDED = ", power: Annotated[float, Uniform(0, 9), Added(before=1)] = 2.0"


@pytest.fixture
def planned(monkeypatch, tmp_path):
    """Return the only trial with the loss as it was, or with what was added to it."""

    def plan(more: str, loss: str = "mine.py:Mine", **settings: str) -> tuple[Trial, Path]:
        path = tmp_path / str(abs(hash(more))) / "mine.py"
        path.parent.mkdir(exist_ok=True)
        held = "margin, power" if more else "margin,"
        path.write_text(LOSS.replace("{more}", more).replace("{settings}", held))
        monkeypatch.chdir(path.parent)
        suite = Suite(
            datasets=("digits-closed",),
            losses=(loss,),
            baselines=(),
            seeds=(0,),
            settings={f"loss.{name}": value for name, value in settings.items()},
        )
        (trial,) = Planner(Catalogue.discover()).unfold(suite).trials
        return trial, path

    same = "dmlbench.components.composition.source_of"
    monkeypatch.setattr(same, lambda component: Source("the same source", {}))
    return plan


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        ("mine.py:Mine", "power"),
        ("xbm/mine.py:Mine", "Mine.power"),
        ("0.5*mine.py:Mine+cross-entropy", "Mine.power"),
    ],
)
def test_a_hyperparameter_that_was_added_renames_no_trial(planned, loss, name):
    before, _ = planned("", loss)
    same, _ = planned(ADDED, loss, **{name: "1"})
    assert same.id == before.id
    assert name not in same.parts["loss"].settings
    now, _ = planned(ADDED, loss)
    assert now.id != before.id
    assert now.parts["loss"].settings[name] == 2.0


def test_what_a_trial_does_not_name_is_made_as_before(planned):
    from dmlbench.components.composition import compose

    before, _ = planned("")
    _, path = planned(ADDED)
    settings = before.parts["loss"].settings
    (loss,) = compose(Catalogue.discover(), "loss", f"{path}:Mine").make("loss", settings)
    assert loss.settings == (0.2, 1.0)


def test_a_value_of_before_that_can_not_be_is_the_plugins_fault(planned):
    wrong = ADDED.replace("before=1", "before=10")
    with pytest.raises(PluginError, match=r"Added\(before=...\) of .*Mine .* outside Uniform"):
        planned(wrong)


# What a later version wrote


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"trial": {"protocol": {"optimiser": {"accumulate": 4}}}}, "optimiser.accumulate"),
        ({"schema_version": 2}, "schema 2"),
        (
            {"versions": {"dmlbench": "99.1"}, "trial": {"protocol": {"precision": "float8"}}},
            r"\(99.1\)",
        ),
    ],
)
def test_a_record_of_a_newer_version_is_no_damage(old, tmp_path, change, told):
    held = json.loads(old.read_text())
    put(held, change)
    path = tmp_path / "newer.json"
    path.write_text(json.dumps(held))
    with pytest.raises(DataError, match=rf"made by a newer dmlbench.*{told}.*Upgrade dmlbench"):
        read_record(path)


def test_a_record_whose_figures_decide_another_id_was_changed(old, tmp_path):
    held = json.loads(old.read_text())
    held["trial"]["protocol"]["batch_size"] += 1
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(held))
    with pytest.raises(DataError, match="was changed: its id"):
        read_record(path)
