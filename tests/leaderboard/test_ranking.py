"""Rows that can't be told from the best: marks, sentences, missing seeds, floors."""

import csv
import io
from itertools import pairwise

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from dmlbench.leaderboard.formats.markdown import PageImages, markdown_page
from dmlbench.leaderboard.formats.terminal import print_tables
from dmlbench.leaderboard.publish import publish
from dmlbench.leaderboard.ranking import rank_rows
from dmlbench.leaderboard.tables import make_tables
from dmlbench.schemas.protocol_file import load_protocol

SEEDS = 6


@pytest.fixture
def records(record):
    """Return two rows 0.1 points apart, one far below, one without its last seed, two floors."""
    rng = np.random.default_rng(2)
    means = {"triplet": 0.30, "contrastive": 0.299, "arcface": 0.2, "margin": 0.31}
    made = []
    for seed in range(SEEDS):
        block = rng.normal(0, 0.004)
        for loss, mean in means.items():
            value = mean + block + rng.normal(0, 0.003)
            if (loss, seed) == ("margin", SEEDS - 1):
                made.append(record(loss, seed=seed, status="failed", reason="NaN"))
            else:
                made.append(record(loss, seed=seed, map_at_r=value))
        made.append(record(baseline="pixels", seed=seed, map_at_r=0.1))
        untrained = 0.05 + block + rng.normal(0, 0.003)
        made.append(record(baseline="untrained", seed=seed, map_at_r=untrained))
    return made


def only(records):
    (table,) = make_tables(records)
    return table


def only_ranking(records):
    (ranking,) = only(records).rankings.values()
    return ranking


def groups(records) -> dict[str, str]:
    table = only(records)
    return {
        row.label.partition(" ")[0]: ranking.group(row)
        for backbone, ranking in table.rankings.items()
        for row in table.lanes[backbone]
    }


def test_rows_that_cannot_be_told_from_the_best_are_a_group(records):
    assert groups(records) == {
        "triplet": "best",
        "contrastive": "best",
        "arcface": "worse",
        "margin": "",
    }


def test_a_row_without_some_seed_is_not_compared_and_named(records):
    ranking = only_ranking(records)
    assert ranking.left_out == ("margin + random",)
    assert ranking.seeds == tuple(range(SEEDS))
    assert "Not compared, as seeds are missing: margin + random." in ranking.sentences()


@pytest.mark.parametrize("seeds", [1, 2, 3, 4])
def test_below_five_seeds_no_row_is_worse_and_the_table_says_so(records, seeds):
    few = [record for record in records if record.trial.seed < seeds]
    assert set(groups(few).values()) == {""}
    (sentence,) = only_ranking(few).sentences()
    assert sentence.startswith("No row is called better than another: that takes 5 seeds")
    assert sentence.endswith(f"here {'is' if seeds == 1 else 'are'} {seeds}.")
    text = markdown_page(only(few), "x", PageImages())
    assert sentence in text
    assert "From the best" not in text


def test_a_row_with_more_seeds_is_compared_on_those_that_most_have(record):
    rng = np.random.default_rng(1)
    made = [
        record(loss, seed=seed, map_at_r=0.3 + rng.normal(0, 0.003))
        for loss, seeds in {"triplet": 5, "contrastive": 5, "margin": 9}.items()
        for seed in range(seeds)
    ]
    ranking = only_ranking(made)
    assert ranking.seeds == (0, 1, 2, 3, 4)
    assert not ranking.left_out


def test_baselines_are_not_compared_with_trained_rows(records):
    ranking = only_ranking(records)
    baselines = only(records).baselines
    assert len(baselines) == 2
    assert not {row.id for row in baselines} & ranking.groups.keys()


def test_backbones_are_compared_apart(record, part):
    made = [
        record(loss, seed=seed, map_at_r=mean + 0.001 * ((seed * factor) % 5), parts=parts)
        for seed in range(5)
        for mean, parts in ((0.3, {}), (0.1, {"backbone": part("linear")}))
        for loss, factor in (("triplet", 1), ("contrastive", 2))
    ]
    table = only(made)
    assert list(table.rankings) == ["linear", "small-conv"]
    marks = {ranking.group(row) for ranking in table.rankings.values() for row in table.trained}
    assert marks == {"best", ""}  # nothing of the other lane, and no row is worse in its own


def test_a_single_row_has_no_group_and_no_sentence(record):
    ranking = only_ranking([record(seed=seed, map_at_r=0.3 + seed / 100) for seed in range(5)])
    assert not ranking.decided
    assert ranking.sentences() == []


def test_a_value_that_is_not_finite_counts_as_missing(records):
    spoilt = []
    for one in records:
        if (one.trial.label, one.trial.seed) == ("contrastive + random", 2):
            metrics = dict(one.metrics, map_at_r=float("nan"))
            spoilt.append(one.model_copy(update={"metrics": metrics}))
        else:
            spoilt.append(one)
    rows = only(records).trained
    spoilt_rows = [
        row for row in only(spoilt).trained if row.id in {original.id for original in rows}
    ]
    assert "contrastive + random" in rank_rows(spoilt_rows, "map_at_r").left_out


def test_the_lead_over_the_floors_is_paired_by_seed(records):
    table = only(records)
    (row,) = [row for row in table.trained if row.label == "triplet + random"]
    (floor,) = [row for row in table.floors if row.label == "untrained"]
    ours = [record.metrics["map_at_r"] for record in row.finished]
    theirs = [record.metrics["map_at_r"] for record in floor.finished]
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    over = table.over_floors(row)["untrained"]
    assert over.mean - over.half_width == pytest.approx(expected.low, rel=1e-10)
    assert over.mean + over.half_width == pytest.approx(expected.high, rel=1e-10)


def test_the_csv_file_has_group_distance_from_the_best_and_lead(records, tmp_path):
    publish(records, tmp_path)
    text = (tmp_path / "glyphs" / "small.csv").read_text()
    lines = {line["loss"] or line["baseline"]: line for line in csv.DictReader(io.StringIO(text))}
    found = {name: line["group"] for name, line in lines.items()}
    assert found == groups(records) | {"pixels": "", "untrained": ""}
    table = only(records)
    means = {row.names.get("loss"): row.metrics["map_at_r"].mean for row in table.trained}
    behind = float(lines["arcface"]["behind_best"])
    best = max(means["triplet"], means["contrastive"])
    assert behind == pytest.approx(best - means["arcface"])
    assert 0 < float(lines["arcface"]["behind_best_half_width"]) < behind
    assert lines["margin"]["behind_best"] == ""
    assert float(lines["triplet"]["over_pixels"]) == pytest.approx(means["triplet"] - 0.1)
    assert lines["pixels"]["over_pixels"] == ""


def test_page_and_terminal_show_the_group_and_what_could_be_told(records):
    ranking = only_ranking(records)
    text = markdown_page(only(records), "x", PageImages())
    lines = [
        [cell.strip() for cell in line.split("|")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    place = lines[0].index("From the best")
    marks = {line[1].split(" ")[0]: line[place] for line in lines[1:5]}
    alike, lost = "can't be told", "worse"
    others = {"arcface": lost, "margin": "not compared"}
    assert marks == {"triplet": alike, "contrastive": alike, **others}
    assert "By MAP@R, 2 of 3 rows can't be told from the best; the other is worse." in text
    shown = f"told apart from a difference of {100 * ranking.detectable:.2f} points."
    assert shown in text
    console = Console(file=io.StringIO(), width=100)
    print_tables(records, console)
    printed = console.file.getvalue()
    assert "From the best" in printed
    assert "can't be told" in printed
    assert shown in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 100


def test_cross_validated_accuracy_is_compared_too(record):
    made = []
    for seed in range(5):
        for loss, accuracy in {"contrastive": 0.96, "triplet": 0.9}.items():
            value = {"knn_accuracy": accuracy + 0.002 * ((seed * len(loss)) % 5)}
            fields = {"metrics": value, "last_epoch_metrics": value, "selection": "last epoch"}
            vectors = load_protocol("vectors")
            made.append(record(loss, None, seed=seed, dataset="iris", protocol=vectors, **fields))
    assert groups(made) == {"contrastive": "best", "triplet": "worse"}


def test_neighbours_are_told_apart_by_the_paired_test_of_each_pair(records, tmp_path):
    rows = [row for row in only(records).trained if not row.failed]
    values = [[record.metrics["map_at_r"] for record in row.finished] for row in rows]
    alike = sum(stats.ttest_rel(a, b).pvalue >= 0.05 for a, b in pairwise(values))
    assert (alike, len(values)) == (1, 3)
    sentence = (
        "1 of 2 pairs of neighbours in the order of the means can't be told apart (paired t-test "
        "at 5 %, each pair by itself)."
    )
    assert sentence in only_ranking(records).sentences()
    publish(records, tmp_path)
    assert sentence in (tmp_path / "glyphs" / "small.md").read_text()
    index = (tmp_path / "README.md").read_text()
    assert "In those that can rank losses, 1 of 2 pairs of neighbours can't be told apart." in index
    assert "| 2 of 3 " in index
    assert "| 1 of 2 " in index


@pytest.mark.parametrize(
    ("means", "sentence"),
    [
        ((0.3, 0.2, 0.1), "By MAP@R, the best of 3 rows stands alone: the others are worse."),
        ((0.3, 0.3, 0.3), "By MAP@R, none of 3 rows can be told from the best."),
        ((0.3, 0.3, 0.1), "By MAP@R, 2 of 3 rows can't be told from the best; the other is worse."),
    ],
)
def test_the_sentence_on_the_best_fits_their_number(record, means, sentence):
    noise = [0.001, -0.001, 0.002, 0.0, -0.002, 0.001, 0.0]
    made = [
        record(loss, seed=seed, map_at_r=mean + noise[(seed + 2 * place) % 7])
        for place, (loss, mean) in enumerate(zip(("a", "b", "c"), means, strict=True))
        for seed in range(5)
    ]
    assert only_ranking(made).verdicts()[0] == sentence
