"""A stranger's records: what is taken, what is said of it, and what is refused and why."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dmlbench.audit.merge import CheckedFile, RecordChecker, import_records
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.errors import DataError
from dmlbench.planning.planner import Planner
from dmlbench.schemas.record import Array, Record
from dmlbench.schemas.suite import Suite
from dmlbench.storage.record_store import MOST_BYTES, Store, read_record
from dmlbench.trials.run_trial import run_trial

CATALOGUE = Catalogue.discover()


@pytest.fixture(scope="module")
def pixels() -> Record:
    """Return the record of a trial on data that every installation has."""
    suite = Suite(datasets=("digits-closed",), losses=(), baselines=("pixels",), seeds=(0,))
    (trial,) = Planner(CATALOGUE).unfold(suite).trials
    return run_trial(trial, Workplace(CATALOGUE, None, torch.device("cpu")))


@pytest.fixture
def theirs(tmp_path: Path) -> Store:
    return Store(tmp_path / "theirs")


@pytest.fixture
def ours(tmp_path: Path) -> Store:
    return Store(tmp_path / "ours")


def changed(record: Record, **fields: Any) -> Record:
    """Return `record` with other fields of its trial, under the id that fits."""
    trial = type(record.trial).model_validate({**record.trial.model_dump(), **fields})
    return record.model_copy(update={"trial": trial, "id": trial.id})


def with_part(record: Record, kind: str, **fields: Any) -> Record:
    if kind == "dataset":
        return changed(record, dataset=record.trial.dataset.model_copy(update=fields).model_dump())
    part = record.trial.parts[kind].model_copy(update=fields)
    return changed(record, parts={**record.trial.parts, kind: part})


def judged(ours: Store, theirs: Store, **options: Any) -> CheckedFile:
    (found,) = RecordChecker(ours, CATALOGUE, **options).findings(theirs.folder)
    return found


def refusal(ours: Store, theirs: Store, record: Record, **options: Any) -> str:
    theirs.write(record)
    return judged(ours, theirs, **options).refused


# What is taken


def test_a_sound_record_is_taken_as_it_was(pixels, ours, theirs):
    theirs.write(pixels)
    found = judged(ours, theirs)
    assert (found.refused, found.notes, found.is_there) == ("", (), False)
    assert not ours.folder.exists()
    import_records([found], ours)
    assert ours.read(pixels.trial) == pixels
    assert judged(ours, theirs).is_there
    assert import_records([judged(ours, theirs)], ours)[0].is_there


def test_a_finished_record_replaces_our_failure_and_never_the_other_way_round(pixels, ours, theirs):
    failed = Record(id=pixels.id, trial=pixels.trial, status="failed", reason="no memory")
    ours.write(failed)
    theirs.write(pixels)
    import_records([judged(ours, theirs)], ours)
    assert ours.read(pixels.trial) == pixels
    theirs.write(failed)
    found = judged(ours, theirs)
    assert found.is_there
    import_records([found], ours)
    assert ours.read(pixels.trial) == pixels


def test_another_source_is_another_row_and_said(pixels, ours, theirs):
    theirs.write(with_part(pixels, "baseline", source="0" * 64))
    (note,) = judged(ours, theirs).notes
    assert note == (
        "The baseline 'pixels' of dmlbench has another source (0000000) than ours: its rows are "
        "other rows."
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"distribution": "", "reference": "./own.py:Own", "name": "./own.py:Own"}, "a file of"),
        ({"distribution": "other", "reference": "other-thing", "name": "other-thing"}, "not known"),
    ],
)
def test_components_that_are_not_here_are_said(pixels, ours, theirs, fields, words):
    theirs.write(with_part(pixels, "baseline", source="1" * 64, **fields))
    assert words in judged(ours, theirs).notes[0]


def test_each_record_of_a_folder_is_noted(pixels, ours, theirs):
    for seed in (0, 1):
        theirs.write(changed(with_part(pixels, "baseline", source="0" * 64), seed=seed))
    assert [
        len(found.notes) for found in RecordChecker(ours, CATALOGUE).findings(theirs.folder)
    ] == [1, 1]


# What is refused


def test_a_record_of_the_same_trial_with_other_metrics_is_a_conflict(pixels, ours, theirs):
    ours.write(pixels)
    relevant, best_rank = (pixels.per_query[name].unpack() for name in ("relevant", "best_rank"))
    rank = best_rank.copy()
    place = int(np.flatnonzero((rank == 1) & (pixels.per_query["hits"].unpack() < relevant))[0])
    rank[place] = 2
    metrics = {**pixels.metrics, "recall@1": float(np.mean(rank <= 1))}
    other = {
        "per_query": {**pixels.per_query, "best_rank": Array.pack(rank)},
        "metrics": metrics,
        "last_epoch_metrics": metrics,
    }
    reason = refusal(ours, theirs, pixels.model_copy(update=other))
    assert reason == "we have a record of the same trial with other metrics, which stays"
    assert ours.read(pixels.trial) == pixels


def test_of_two_that_contradict_each_other_the_first_is_taken(pixels, ours, theirs):
    theirs.write(pixels)
    wrong = {**pixels.metrics, "tied": 0.5}
    text = pixels.model_copy(update={"metrics": wrong, "last_epoch_metrics": wrong}).to_json()
    (theirs.folder / "z.json").write_text(text)
    first, second = RecordChecker(ours, CATALOGUE).findings(theirs.folder)
    assert (first.refused, second.refused != "") == ("", True)


def test_a_damaged_record_of_ours_is_not_written_over(pixels, ours, theirs):
    path = ours.write(pixels)
    path.write_text("{")
    assert "our own record of its trial is damaged" in refusal(ours, theirs, pixels)


def test_metrics_that_the_queries_do_not_give_are_refused(pixels, ours, theirs):
    better = pixels.model_copy(update={"metrics": {**pixels.metrics, "map_at_r": 0.99}})
    assert "its map_at_r is 0.990000" in refusal(ours, theirs, better)


@pytest.mark.parametrize("known", ["in our records", "on this machine"])
def test_other_data_are_refused_unless_allowed(pixels, ours, theirs, known):
    if known == "in our records":
        ours.write(pixels)
    other = changed(pixels, fingerprint="0" * 16)
    reason = refusal(ours, theirs, other)
    assert f"ours {pixels.trial.fingerprint}" in reason
    assert "--allow-other-data" in reason
    found = judged(ours, theirs, allow_other_data=True)
    assert found.refused == ""
    assert "are not the ones we have" in found.notes[0]


def test_unknown_data_are_refused_unless_allowed(pixels, ours, theirs):
    other = with_part(
        pixels, "dataset", name="folder:photos", reference="folder:photos", settings={}
    )
    assert "its data are not known here: folder:photos" in refusal(ours, theirs, other)
    assert judged(ours, theirs, allow_other_data=True).refused == ""


def test_other_test_items_on_our_data_are_refused(pixels, ours, theirs):
    ours.write(pixels)
    held = {name: array.unpack()[::-1] for name, array in pixels.per_query.items()}
    turned = {name: Array.pack(values) for name, values in held.items()}
    assert not np.array_equal(held["relevant"], held["relevant"][::-1])
    other = changed(pixels, seed=9).model_copy(update={"per_query": turned})
    assert "its test items are others" in refusal(ours, theirs, other)


def test_no_code_of_theirs_is_imported(pixels, ours, theirs, tmp_path):
    mark = tmp_path / "mark"
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(mark)!r}, 'w')\nclass Evil: pass\n")
    reference = f"{evil}:Evil"
    own = {"reference": reference, "name": reference, "distribution": ""}
    part = pixels.trial.parts["baseline"]
    around = part.model_copy(update={"reference": f"xbm/{reference}", "name": "xbm/contrastive"})
    records = [
        with_part(pixels, "baseline", reference=reference),  # in the name of dmlbench
        with_part(pixels, "dataset", reference=reference),
        with_part(pixels, "baseline", reference="this:Evil"),
        changed(pixels, parts={"baseline": part, "loss": around}),
        with_part(pixels, "baseline", **own),
        with_part(pixels, "dataset", **own),
    ]
    theirs.folder.mkdir()
    for number, record in enumerate(records):
        (theirs.folder / f"{number}.json").write_text(record.to_json())
    found = RecordChecker(ours, CATALOGUE, allow_other_data=True).findings(theirs.folder)
    assert ["is said to be of dmlbench" in one.refused for one in found] == [True] * 4 + [False] * 2
    assert not mark.exists()
    assert "this" not in sys.modules


def test_a_reference_that_names_something_else_is_refused(pixels, ours, theirs):
    reason = refusal(ours, theirs, with_part(pixels, "baseline", reference="pca"))
    assert "is loaded as 'pca', which is 'pca' of dmlbench" in reason


# Files


def test_links_other_things_and_large_files_are_not_read(pixels, ours, theirs, tmp_path):
    elsewhere = Store(tmp_path / "elsewhere").write(pixels)
    theirs.folder.mkdir()
    (theirs.folder / "link.json").symlink_to(elsewhere)
    (theirs.folder / "folder").symlink_to(elsewhere.parent)
    os.mkfifo(theirs.folder / "pipe.json")
    with (theirs.folder / "sparse.json").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    found = {f.path.name: f.refused for f in RecordChecker(ours, CATALOGUE).findings(theirs.folder)}
    assert found == {
        "link.json": "it is a link, and links are not followed",
        "pipe.json": "can't be read: it is a named pipe, not a regular file",
        "sparse.json": "has 16,777,217 bytes, and at most 16,777,216 are read",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a record"),
        ("[" * 5000, "is not a record"),
        ('{"schema_version": 2}', "was made by a newer dmlbench"),
        ("null", "is not a record"),
        ("\x00\xff", "is not a record"),
    ],
)
def test_what_is_no_record_is_refused(ours, theirs, text, words):
    theirs.folder.mkdir()
    (theirs.folder / "x.json").write_text(text)
    assert words in judged(ours, theirs).refused


def test_a_record_whose_id_does_not_fit_is_refused(pixels, ours, theirs):
    path = theirs.write(pixels)
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    assert "does not match its content" in judged(ours, theirs).refused


def test_numbers_that_are_not_finite_are_refused(pixels, ours, theirs):
    path = theirs.write(pixels)
    tied = f'"tied": {pixels.metrics["tied"]}'
    assert tied in path.read_text()
    path.write_text(path.read_text().replace(tied, '"tied": NaN'))
    assert "finite number" in judged(ours, theirs).refused


def test_a_folder_without_records_is_one_clear_error(ours, tmp_path):
    with pytest.raises(DataError, match="There are no records in"):
        RecordChecker(ours, CATALOGUE).findings(tmp_path)


def test_a_full_disk_refuses_one_and_leaves_nothing_half_made(pixels, ours, theirs, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    for seed in (0, 1):
        theirs.write(changed(pixels, seed=seed))
    found = RecordChecker(ours, CATALOGUE).findings(theirs.folder)
    monkeypatch.setattr(os, "fsync", full)
    assert all("No space left" in one.refused for one in import_records(found, ours))
    assert not [path for path in ours.folder.rglob("*") if path.is_file()]


def test_what_was_taken_can_be_read_by_everybody(pixels, ours, theirs):
    theirs.write(pixels)
    import_records([judged(ours, theirs)], ours)
    (path,) = ours.folder.rglob("*.json")
    assert read_record(path) == pixels
    assert path.stat().st_mode & 0o777 == 0o644
