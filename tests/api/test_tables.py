"""Tables and audits from Python are those of the commands."""

import csv

import numpy as np
import pandas as pd
import pytest

import dmlbench
from dmlbench import retrieval


def test_a_frame_equals_the_published_csv_file(grid, tmp_path):
    records, folder = grid
    published = dmlbench.publish(folder / "runs", tmp_path)
    (path,) = (path for path in published.files if path.match("small*[0-9].csv"))
    (table,) = dmlbench.tables(records)
    frame = table.to_frame()
    with open(path, newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(frame) == list(lines[0])
    assert len(frame) == len(lines) == 3
    for row, line in zip(frame.to_dict("records"), lines, strict=True):
        for name, cell in line.items():
            value = row[name]
            if cell == "":
                assert pd.isna(value), name
            elif isinstance(value, float):
                assert value == pytest.approx(float(cell), rel=1e-14), name
            else:
                assert str(value) == cell, name


def test_means_of_the_trials_are_those_of_the_table(grid):
    records, _ = grid
    (table,) = dmlbench.tables(records)
    means = records.trials().groupby("row_id")["map_at_r"].mean()
    assert table.headline == "map_at_r"
    found = table.to_frame().set_index("row_id")["map_at_r"].to_dict()
    assert found == pytest.approx(dict(means), rel=5.1e-6)  # six digits


def test_ids_without_letters_stay_texts(grid):
    records, _ = grid
    (table,) = dmlbench.tables(record for record in records if record.trial.seed == 0)
    frame = table.to_frame()
    assert set(frame["trial_ids"]) <= {record.id for record in records}
    assert set(frame["seeds_finished"]) == {"0"}


def test_a_site_is_written_too_and_a_check_names_what_is_stale(grid, tmp_path):
    _, folder = grid
    made = dmlbench.publish(folder / "runs", tmp_path / "tables", html=tmp_path / "site")
    assert tmp_path / "site" / "index.html" in made.site
    assert not dmlbench.check_published(folder / "runs", tmp_path / "tables").stale
    made.files[0].write_text("changed")
    stale = dmlbench.check_published(folder / "runs", tmp_path / "tables").stale
    assert list(stale) == [str(made.files[0].relative_to(tmp_path / "tables"))]


def test_nothing_can_not_be_published(tmp_path):
    with pytest.raises(dmlbench.ConfigError, match="no records"):
        dmlbench.publish([], tmp_path)
    with pytest.raises(dmlbench.ConfigError, match="no records"):
        dmlbench.tables([])


def test_a_trial_is_reproduced_and_nothing_differs(grid):
    records, folder = grid
    again = dmlbench.reproduce(records[0], jobs=0, progress=False)
    assert again.to_the_bit
    assert not again.differences
    rows = dmlbench.diff(records, folder / "runs").rows
    assert {row.verdict for row in rows} == {"equal to the bit"}


def test_records_of_somebody_else_are_checked_and_taken(grid, tmp_path):
    records, folder = grid
    (tmp_path / "mine").mkdir()
    assert len(dmlbench.merge(folder / "runs", tmp_path / "mine", dry_run=True)) == len(records)
    assert list((tmp_path / "mine").iterdir()) == []
    dmlbench.merge(folder / "runs", tmp_path / "mine")
    assert all(one.is_there for one in dmlbench.merge(folder / "runs", tmp_path / "mine"))
    assert len(dmlbench.load_records(tmp_path / "mine")) == len(records)


def test_a_score_is_that_of_the_arrays_in_the_file(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 5)
    embeddings = rng.normal(size=(6, 8))[labels] + rng.normal(size=(30, 8))
    np.savez(tmp_path / "items.npz", embeddings=embeddings, labels=labels)
    found = dmlbench.score(tmp_path / "items.npz", recall_at=[1, 3], map=True)
    expected = retrieval.evaluate(embeddings, labels, recall_at=(1, 3), mean_average_precision=True)
    assert found.metrics["recall@3"] == expected.recall_at[3]
    assert found.metrics["mean_average_precision"] == expected.mean_average_precision
    assert found.metrics["map_at_r"] == found.result.map_at_r == expected.map_at_r
    with pytest.raises(dmlbench.ConfigError, match="needs a gallery"):
        dmlbench.score(tmp_path / "items.npz", gallery_labels=tmp_path / "labels.npy")
