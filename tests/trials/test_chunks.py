"""A trial that trains in chunks: what its record tells, and that it is stopped and run again."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.families import FAMILIES

from dmlbench.audit.reproduce import divided_again
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.errors import TrialStoppedError
from dmlbench.leaderboard.mixed_settings import mixed_settings
from dmlbench.leaderboard.protocol_facts import provenance
from dmlbench.leaderboard.tables import make_tables
from dmlbench.schemas.record import Record
from dmlbench.training import session as sessions
from dmlbench.training.session import Session
from dmlbench.trials.run_trial import run_trial

GROUPED = f"{Path(__file__).parents[1] / 'support' / 'families.py'}:Grouped"
PLAIN = Workplace(Catalogue.discover(), None, torch.device("cpu"))
CHUNKED = replace(PLAIN, chunk=3)
DROPPING = {"backbone": GROUPED, "settings": {"backbone.dropout": "0.3"}}


@pytest.fixture(autouse=True)
def where_the_backbone_is(monkeypatch):
    monkeypatch.chdir(Path(GROUPED).parent)


def test_the_record_is_that_of_whole_batches_but_for_rounding_and_says_so(trial_of):
    trial = trial_of(backbone=GROUPED, **FAMILIES["a proxy a class"])
    plain, cached = run_trial(trial, PLAIN), run_trial(trial, CHUNKED)
    assert cached.id == plain.id
    assert cached.settings == plain.settings | {"chunk": 3}
    for one, other in zip(cached.epochs[1:], plain.epochs[1:], strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-5)


def test_stopped_at_every_step_it_leaves_the_record_of_one_that_ran_through(
    trial_of, tmp_path, monkeypatch
):
    monkeypatch.setattr(sessions, "_WRITES_PER_TIME", 0)
    trial = trial_of(**(DROPPING | {"losses": ("margin",)}))
    whole = run_trial(trial, CHUNKED)
    for stops in range(20):
        asked = iter([False])  # training begins, and the first pause stops it
        session = Session(tmp_path / "checkpoint", stop=lambda asked=asked: next(asked, True))
        torch.rand(stops)
        try:
            record = run_trial(trial, CHUNKED, session=session)
        except TrialStoppedError:
            continue
        break
    assert stops > 5
    assert record.measurements["resumed"] == stops
    bare = [some.model_copy(update={"measurements": {}}).to_json() for some in (record, whole)]
    assert bare[0] == bare[1]


def test_a_checkpoint_of_whole_batches_is_not_gone_on_with_in_chunks(trial_of, tmp_path):
    trial, said = trial_of(backbone=GROUPED, losses=("contrastive",)), []
    asked = iter([False])
    stopping = Session(tmp_path / "checkpoint", stop=lambda: next(asked, True))
    with pytest.raises(TrialStoppedError):
        run_trial(trial, PLAIN, session=stopping)
    record = run_trial(trial, CHUNKED, session=Session(tmp_path / "checkpoint", say=said.append))
    assert record.measurements["resumed"] == 0
    assert "chunk None there, 3 here" in said[0]


@pytest.fixture
def records(plan_of) -> list[Record]:
    """Return the records of one row: seed 0 of whole batches, seed 1 of chunks."""
    trials = plan_of(backbone=GROUPED, losses=("contrastive",), seeds=(0, 1)).trials
    return [run_trial(t, place) for t, place in zip(trials, (PLAIN, CHUNKED), strict=True)]


def test_tables_tell_which_seeds_were_run_in_chunks(records):
    (table,) = make_tables(records)
    assert mixed_settings(table.rows) == [
        "Not all seeds were run alike: chunk 3 (seed 1), none (seed 0) (contrastive + all-pairs)."
    ]
    assert "chunk: 3, none;" in provenance(table)["Settings"]
    (table,) = make_tables(records[:1])
    assert "chunk" not in provenance(table)["Settings"]


def test_each_record_is_reproduced_in_its_own_chunks(records):
    from dmlbench.api.auditing import reproduce_all

    again = reproduce_all(records, progress=False, jobs=0)
    assert [found.to_the_bit for found in again] == [True, True]
    assert [found.again.settings.get("chunk") for found in again] == [None, 3]


@pytest.mark.parametrize(
    ("settings", "way"),
    [
        ({}, (None, 1)),
        ({"chunk": 7, "devices": 2}, (7, 2)),
        ({"chunk": 0, "devices": 0}, (None, 1)),
        ({"chunk": "many", "devices": True}, (None, 1)),
        ({"chunk": [3], "devices": 100_000}, (None, 1)),
    ],
)
def test_what_strangers_say_of_chunks_and_devices_is_followed_as_far_as_it_can_be(
    records, settings, way, monkeypatch
):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    record = records[0].model_copy(update={"settings": settings})
    assert divided_again(record, PLAIN.device) == way
