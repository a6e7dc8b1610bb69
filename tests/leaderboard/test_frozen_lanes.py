"""Frozen lanes rank losses only where a trained row beats the baselines; partial data are named."""

import csv
import io

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from dmlbench.leaderboard.formats.terminal import print_tables
from dmlbench.leaderboard.publish import files_by_path
from dmlbench.leaderboard.tables import make_tables
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.statistics import compare

CUT = "cannot rank losses"
FROZEN = load_protocol("frozen")
BASELINES = {"pixels": 0.25, "pca": 0.249, "pca-whitened": 0.2, "lda": 0.22}


@pytest.fixture
def lane(record):
    """Return a function from means of trained rows to the records of a frozen lane."""

    def make(means, *, seeds=5, noise=0.002, baselines=BASELINES, protocol=FROZEN, **fields):
        rng = np.random.default_rng(len(means))
        made = []
        for seed in range(seeds):
            block = rng.normal(0, noise)
            for loss, mean in means.items():
                value = mean + block + rng.normal(0, noise)
                made.append(record(loss, None, seed=seed, map_at_r=value, protocol=protocol))
            for name, mean in baselines.items():  # the same whatever the seed
                fixed = {"baseline": name, "seed": seed, "map_at_r": mean}
                made.append(record(**fixed, protocol=protocol, **fields))
        return made

    return make


def only_ranking(records):
    (table,) = make_tables(records)
    (ranking,) = table.rankings.values()
    return ranking, table


def test_a_lane_whose_best_baseline_is_not_beaten_has_no_groups_and_says_so(lane):
    ranking, table = only_ranking(lane({"triplet": 0.251, "contrastive": 0.2, "margin": 0.249}))
    assert not ranking.decided
    assert set(ranking.groups.values()) == {""}
    assert not ranking.behind
    (sentence,) = ranking.sentences()
    assert sentence.startswith("This lane cannot rank losses")
    assert "pixels (25.00 ± 0.00 %)" in sentence
    assert "3 trained rows and 4 baselines" in sentence
    assert len(table.trained) == 3  # all rows stay on the page


def test_a_lane_whose_best_row_beats_the_baselines_is_ranked_among_trained_rows(lane):
    ranking, table = only_ranking(lane({"triplet": 0.3, "contrastive": 0.26, "margin": 0.301}))
    groups = {row.label: ranking.group(row) for row in table.trained}
    assert groups == {"triplet": "best", "margin": "best", "contrastive": "worse"}
    assert "The 3 rows are compared on 5 seeds" in " ".join(ranking.sentences())
    others = [record for record in table.records if "baseline" not in record.trial.parts]
    protocol = load_protocol("small")
    alone = [r.trial.model_copy(update={"protocol": protocol}) for r in others]
    trained = [
        record.model_copy(update={"trial": trial, "id": trial.id})
        for record, trial in zip(others, alone, strict=True)
    ]
    expected, _ = only_ranking(trained)
    assert ranking.detectable == pytest.approx(expected.detectable)


def test_a_single_trained_row_is_compared_with_the_baselines_too(lane):
    assert CUT in only_ranking(lane({"triplet": 0.25}))[0].unfit
    assert not only_ranking(lane({"triplet": 0.3}))[0].unfit


def test_other_protocols_are_ranked_whatever_the_baselines_do(lane):
    records = lane({"triplet": 0.2, "margin": 0.1}, protocol=load_protocol("small"))
    ranking, _ = only_ranking(records)
    assert ranking.decided


def test_without_a_baseline_on_the_same_seeds_nothing_is_ranked(lane):
    ranking, _ = only_ranking(lane({"triplet": 0.3, "margin": 0.1}, baselines={}))
    assert "none of the baselines on the same features has finished" in ranking.unfit
    assert set(ranking.groups.values()) == {""}


def test_below_five_seeds_a_frozen_lane_makes_no_claim_at_all(lane):
    ranking, _ = only_ranking(lane({"triplet": 0.3, "margin": 0.1}, seeds=4))
    (sentence,) = ranking.sentences()
    assert sentence.startswith("No row is called better than another: that takes 5 seeds")


def test_page_index_csv_and_terminal_say_it(lane):
    records = lane({"triplet": 0.251, "contrastive": 0.2})
    files = files_by_path(records)
    page = files["glyphs/frozen.md"]
    assert "> **Note.** This lane cannot rank losses" in page
    assert page.index(CUT) < page.index("| Row")
    assert "From the best" not in page
    assert "cannot rank losses: the best baseline is not beaten" in files["README.md"]
    lines = list(csv.DictReader(io.StringIO(files["glyphs/frozen.csv"])))
    assert {line["group"] for line in lines} == {""}
    assert {line["behind_best"] for line in lines} == {""}
    console = Console(file=io.StringIO(), width=100)
    print_tables(records, console)
    printed = " ".join(console.file.getvalue().split())
    assert "cannot rank losses" in printed
    assert "From the best" not in printed


@pytest.mark.parametrize("rows", [1, 3, 10])
@pytest.mark.parametrize("block", [0.0, 3.0], ids=["own noise", "noise of all rows"])
def test_a_baseline_as_good_as_all_losses_is_called_beaten_in_at_most_5_of_100_lanes(rows, block):
    rng = np.random.default_rng(rows)
    trained = rng.normal(size=(400, rows, 5)) + block * rng.normal(size=(400, 1, 5))
    baselines = np.broadcast_to(np.array([0.0, -0.5, -2, -5])[:, None], (400, 4, 5))
    lanes = np.concatenate([trained, baselines], axis=1)
    errors = sum(compare(values).worse[rows] for values in lanes)
    assert errors <= stats.binom.ppf(0.999, 400, 0.05)


def test_a_loss_far_above_the_baselines_is_found(lane):
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(50):
        trained = rng.normal(size=(4, 5)) + np.array([[10.0], [0], [0], [0]])
        found += compare(np.vstack([trained, np.zeros((3, 5))])).worse[4]
    assert found == 50


def test_partial_data_are_marked_in_title_index_facts_and_picture(record, part):
    cut = part("cub", settings={"partial": True}, changed={"partial": True})
    files = files_by_path([record(dataset=cut, seed=seed) for seed in range(2)])
    page = files["cub-partial=True/small.md"]
    assert "\n# cub (partial=True) · small · PARTIAL DATA\n" in page
    assert "> **Partial data: NOT comparable with published figures.**" in page
    assert "[cub (partial=True) · PARTIAL DATA](cub-partial=True/small.md)" in files["README.md"]
    assert "PARTIAL DATA, fingerprint" in page


def test_whole_data_are_not_marked(record, part):
    whole = part("cub", settings={"partial": False})
    files = files_by_path([record(dataset=whole), record(dataset="mnist")])
    pages = [text for path, text in files.items() if path.endswith((".md", ".tex", ".svg"))]
    assert not any("partial" in text.lower() for text in pages)
