"""Tables from records: grouping, order, marks and counts; figures checked by a plain script."""

import json

import numpy as np
import pytest
from scipy import stats

from dmlbench.errors import ConfigError
from dmlbench.leaderboard.tables import make_tables
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Part


def only(records):
    (table,) = make_tables(records)
    return table


def row_named(records, label):
    (row,) = [row for row in only(records).rows if row.label == label]
    return row


def figures_by_plain_script(records: list[Record]) -> dict[tuple, tuple[float, float]]:
    """Return mean and half-width of each part combination and metric, from the JSON alone."""
    values: dict[tuple, list[float]] = {}
    for text in (record.to_json() for record in records):
        content = json.loads(text)
        names = sorted(f"{kind}={p['name']}" for kind, p in content["trial"]["parts"].items())
        for metric, value in content["metrics"].items():
            values.setdefault((*names, metric), []).append(value)
    return {
        key: (
            np.mean(found),
            stats.t.ppf(0.975, len(found) - 1) * np.std(found, ddof=1) / np.sqrt(len(found)),
        )
        for key, found in values.items()
    }


def test_every_figure_can_be_recomputed_from_the_records(glyphs_records):
    expected = figures_by_plain_script(glyphs_records)
    found = {}
    for row in only(glyphs_records).rows:
        names = sorted(f"{kind}={part.name}" for kind, part in row.trial.parts.items())
        for metric, value in row.metrics.items():
            found[*names, metric] = (value.mean, value.half_width)
    assert found.keys() == expected.keys()
    for key, figures in expected.items():
        assert found[key] == pytest.approx(figures, abs=1e-9), key


def test_rows_are_ordered_by_mean_map_at_r(glyphs_records):
    table = only(glyphs_records)
    means = [row.metrics["map_at_r"].mean for row in table.rows if row.finished]
    assert means == sorted(means, reverse=True)
    assert [row.label for row in table.failed] == [table.rows[-1].label] == ["broken-loss"]


def test_one_table_for_each_dataset_its_settings_data_and_protocol(record, part):
    small, vectors = load_protocol("small"), load_protocol("vectors")
    rotated = part("mnist", settings={"split": 2}, changed={"split": 2})
    records = [
        record(dataset="mnist"),
        record(dataset="mnist", seed=1),
        record(dataset=rotated),
        record(dataset="mnist", fingerprint="0" * 64),
        record(dataset="mnist", protocol=vectors),
        record(dataset="mnist", protocol=small.change("length.epochs", "20")),
    ]
    tables = make_tables(records)
    assert sorted(len(table.records) for table in tables) == [1, 1, 1, 1, 2]


def test_tables_that_can_rank_come_first_and_partial_data_last(record, part):
    partial = part("b-set", settings={"partial": True})
    records = [
        *(record(dataset=name, seed=seed) for name in ("c-set", partial) for seed in (0, 1)),
        *(record(dataset="a-set", seed=seed, map_at_r=0.1) for seed in (0, 1)),
        *(record(dataset="a-set", baseline="pixels", seed=seed, map_at_r=0.2) for seed in (0, 1)),
    ]
    assert [str(table.dataset) for table in make_tables(records)] == [
        "c-set",
        "a-set",
        "b-set",
    ]


def test_other_texts_of_a_protocol_make_no_other_table(record):
    small = load_protocol("small")
    reworded = small.model_copy(update={"description": "the same in other words"})
    assert len(make_tables([record(), record(seed=1, protocol=reworded)])) == 1


def test_rows_below_a_floor_are_marked_with_the_metric(record):
    records = [
        record(baseline="pixels", recall_at_1=0.5, map_at_r=0.3),
        record(baseline="untrained", recall_at_1=0.2, map_at_r=0.1),
        record("contrastive", recall_at_1=0.6, map_at_r=0.4),
        record("triplet", recall_at_1=0.4, map_at_r=0.35),
        record("arcface", None, recall_at_1=0.1, map_at_r=0.05),
    ]
    marks = {row.label: dict(row.below) for row in only(records).rows}
    assert marks == {
        "contrastive + random": {},
        "triplet + random": {"pixels": ("Recall@1",)},
        "arcface": {"pixels": ("Recall@1", "MAP@R"), "untrained": ("Recall@1", "MAP@R")},
        "pixels": {},
        "untrained": {},
    }


def test_a_mean_equal_to_the_floor_is_not_below_it(record):
    records = [record(baseline="pixels", map_at_r=0.3), record(map_at_r=0.3)]
    assert not any(row.below for row in only(records).rows)


def test_the_untrained_network_is_a_floor_for_its_own_backbone_only(record, part):
    linear = {"backbone": part("linear")}
    records = [
        record(baseline="untrained", map_at_r=0.5),
        record("contrastive", map_at_r=0.4),
        record("triplet", map_at_r=0.4, parts=linear),
    ]
    assert row_named(records, "contrastive + random").below
    assert not row_named(records, "triplet + random").below
    notes = only(records).notes
    assert "untrained has no finished trial here: no row of linear can be marked below it." in notes


def test_backbones_are_ranked_in_lanes_of_their_own(record, part):
    records = [record(), record(parts={"backbone": part("linear")}), record(baseline="pca")]
    lanes = only(records).lanes
    assert list(lanes) == ["linear", "small-conv"]
    assert [row.label for row in lanes["linear"]] == ["triplet + random + linear"]


def test_a_floor_that_has_not_run_is_said(record):
    assert only([record()]).notes == (
        "pixels has no finished trial here: no row can be marked below it.",
        "untrained has no finished trial here: no row can be marked below it.",
    )


def test_failed_and_collapsed_seeds_are_counted_and_collapsed_ones_stay_in_the_mean(record):
    records = [
        record(seed=0, map_at_r=0.3),
        record(seed=1, map_at_r=0.0, collapsed=True),
        record(seed=2, status="failed", reason="NaN"),
    ]
    (row,) = only(records).rows
    assert [len(row.finished), len(row.failed), len(row.collapsed)] == [2, 1, 1]
    assert row.metrics["map_at_r"].mean == pytest.approx(0.15)
    assert row.metrics["map_at_r"].n == 2


def test_rows_with_the_same_names_but_other_source_are_told_apart_by_its_hash(record, part):
    edited = {"loss": part("triplet", source="abcdef0123456789")}
    labels = [row.label for row in only([record(), record(parts=edited)]).rows]
    original = part("triplet").source[:7]
    assert sorted(labels) == sorted(["triplet #abcdef0 + random", f"triplet #{original} + random"])


def test_rows_that_differ_in_nothing_visible_are_told_apart_by_their_own_hash(record, part):
    hidden = {"loss": part("triplet", settings={"margin": 0.7})}
    rows = only([record(), record(parts=hidden)]).rows
    assert sorted(row.label for row in rows) == sorted(
        f"triplet #{row.id[:7]} + random" for row in rows
    )


def test_names_that_are_equal_once_cut_still_make_different_labels(record, part):
    long = [{"loss": part("x" * 10_000 + end)} for end in "ab"]
    labels = [row.label for row in only([record(parts=parts) for parts in long]).rows]
    assert len(set(labels)) == 2
    assert max(map(len, labels)) < 100


def test_a_sampler_that_differs_shows_in_the_label(record, part):
    records = [record(), record(parts={"sampler": part("random")}), record("contrastive")]
    assert sorted(row.label for row in only(records).rows) == [
        "contrastive + random",
        "triplet + random + m-per-class",
        "triplet + random + random",
    ]


def test_changed_hyperparameters_are_another_row_and_shown(record, part):
    changed = {"loss": part("triplet", settings={"margin": 0.3}, changed={"margin": 0.3})}
    row = row_named([record(), record(parts=changed)], "triplet (margin=0.3) + random")
    assert row.hyperparameters == "loss.margin=0.3"
    assert row_named([record()], "triplet + random").hyperparameters == "paper defaults"
    house = record(details={"own_lr": "0.0015 (house)"})
    assert row_named([house], "triplet + random").hyperparameters == "house rate"


def test_other_distributions_are_named_with_their_kind(record, part):
    parts = {
        "loss": part("mine", distribution="my-losses", version="1.2"),
        "miner": part("own", distribution="", version=""),
    }
    (row,) = only([record(parts=parts)]).rows
    assert row.origin == (
        "my-losses 1.2; miner: not installed; sampler: dmlbench 0.1.0; backbone: dmlbench 0.1.0"
    )


def test_the_same_record_twice_counts_once(glyphs_records):
    once, twice = only(glyphs_records), only([*glyphs_records, *glyphs_records])
    assert [row.metrics for row in once.rows] == [row.metrics for row in twice.rows]
    assert once.notes == twice.notes


def test_a_finished_record_counts_before_a_failed_one_of_the_same_trial(record):
    (row,) = only([record(status="failed", reason="no memory"), record()]).rows
    assert [len(row.finished), len(row.failed)] == [1, 0]


def test_two_records_of_one_trial_with_other_figures_are_said(record):
    table = only([record(map_at_r=0.3), record(map_at_r=0.4)])
    assert len(table.rows[0].records) == 1
    assert any("2 records of glyphs / triplet + random / seed 0" in note for note in table.notes)


def test_uneven_seeds_are_said(record):
    assert any(
        "same finished seeds" in note for note in only([record(), record("margin", seed=1)]).notes
    )


def test_cross_validation_is_ordered_and_marked_by_accuracy(cross_validated):
    table = only(cross_validated)
    assert table.headline == "knn_accuracy"
    assert [row.label for row in table.rows] == ["pixels", "pca", "contrastive", "triplet"]
    assert all(row.below == {"pixels": ("5-NN accuracy",)} for row in table.rows[1:])


def test_metrics_with_names_that_no_metric_has_are_left_out(record):
    metrics = {"map_at_r": 0.3, "recall@16": 0.5, "=cmd()": 1.0, "x" * 10_000: 1.0}
    table = only([record(metrics=metrics)])
    assert list(table.rows[0].metrics) == ["recall@16", "map_at_r"]


def test_details_that_are_not_numbers_are_ignored(record):
    odd = {"parameters": "many", "train_items": True, "fit_items": float("inf"), "reducer": 3}
    (row,) = only([record(details=odd, measurements={"seconds": None})]).rows
    assert [row.numbers(name) for name in list(odd)[:3]] == [[], [], []]
    assert row.text("reducer") == ""
    assert row.seconds is None


def test_a_trial_without_loss_or_baseline_is_shown_as_unnamed(record):
    trial = record().trial.model_copy(update={"parts": {}})
    table = only([record().model_copy(update={"trial": trial, "id": trial.id})])
    assert [row.label for row in table.rows] == ["unnamed"]
    assert table.rows[0].origin == ""


def test_seeds_that_were_not_run_alike_are_told(record):
    cpu, gpu = {"device": "cpu", "threads": 1}, {"device": "NVIDIA H200", "threads": 1, "new": 1}
    ran = [record(seed=seed, settings=gpu if seed == 2 else cpu) for seed in range(3)]
    alike = [record("margin", seed=seed, settings=cpu) for seed in range(3)]
    note = (
        "Not all seeds were run alike: device NVIDIA H200 (seed 2), cpu (seeds 0, 1) "
        "(triplet + random)."
    )
    assert [one for one in only([*ran, *alike]).notes if "alike" in one] == [note]
    assert not any("alike" in one for one in only(alike).notes)


def test_no_records_make_no_tables():
    with pytest.raises(ConfigError, match="no records to make tables from"):
        make_tables([])


def test_a_failure_to_load_is_forgotten_once_the_component_has_finished(record):
    mended = Part(reference="mine", name="mine", distribution="my-package", source="0" * 64)
    broken = mended.model_copy(update={"source": ""})
    failed = [
        record(broken, None, seed=seed, status="failed", reason="ImportError") for seed in (0, 1)
    ]
    (row,) = only([*failed, record(seed=0)]).failed
    assert [len(row.finished), len(row.failed)] == [0, 2]
    table = only([*failed, record(mended, seed=0)])
    assert [(row.label, len(row.finished), len(row.failed)) for row in table.rows] == [
        ("mine + random", 1, 0),
        ("mine", 0, 1),  # the other seed is still to be tried again
    ]
