"""Ranks over datasets: against plain counting and scipy, and how little a few datasets tell."""

import numpy as np
import pytest
from markdown_it import MarkdownIt
from scipy import stats

from dmlbench.errors import DataError
from dmlbench.leaderboard.across_datasets import across
from dmlbench.leaderboard.publish import files_by_path
from dmlbench.leaderboard.tables import make_tables
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.statistics import rank_over

MEANS = {
    "glyphs": {"triplet": 0.3, "margin": 0.2, "arcface": 0.1, "circle": 0.4},
    "digits": {"triplet": 0.7, "margin": 0.8, "arcface": 0.6},
    "mnist": {"triplet": 0.5, "margin": 0.4, "arcface": 0.3, "nca": 0.6},
}


@pytest.fixture
def records_of(record):
    def make(means, **fields):
        return [
            record(loss, None, dataset=dataset, seed=seed, map_at_r=mean + seed / 1000, **fields)
            for dataset, rows in means.items()
            for loss, mean in rows.items()
            for seed in range(2)
        ]

    return make


def test_rows_that_three_datasets_have_in_common_are_ranked_within_each(records_of):
    found = across(make_tables(records_of(MEANS)))
    assert found.labels == ("triplet", "margin", "arcface")
    ranks = dict(zip((t.dataset.name for t in found.tables), found.ranks.ranks, strict=True))
    assert ranks["glyphs"].tolist() == [1, 2, 3]
    assert ranks["digits"].tolist() == [2, 1, 3]
    assert ranks["mnist"].tolist() == [1, 2, 3]
    assert found.ranks.means == pytest.approx([4 / 3, 5 / 3, 3])
    assert (found.ranks.low.tolist(), found.ranks.high.tolist()) == ([1, 1, 3], [2, 2, 3])


def test_two_datasets_make_no_page(records_of):
    two = {name: MEANS[name] for name in ("glyphs", "mnist")}
    assert across(make_tables(records_of(two))) is None
    assert "across.md" not in files_by_path(records_of(two))


def test_other_settings_of_a_loss_make_another_row(records_of, part):
    records = records_of({name: MEANS[name] for name in ("glyphs", "digits")})
    changed = {"loss": part("triplet", settings={"margin": 0.5}, changed={"margin": 0.5})}
    records += records_of({"mnist": {"triplet": 0.5}}, parts=changed)
    records += records_of({"mnist": {"margin": 0.4, "arcface": 0.3}})
    assert across(make_tables(records)) is None  # two rows in common are too few


def test_other_protocols_take_part_but_a_dataset_only_once(records_of):
    records = records_of({name: MEANS[name] for name in ("glyphs", "digits")})
    records += records_of({"mnist": MEANS["mnist"]}, protocol=load_protocol("vectors"))
    records += records_of({"mnist": {"triplet": 0.1}}, protocol=load_protocol("small"))
    found = across(make_tables(records))
    assert [table.protocol.name for table in found.tables] == ["small", "small", "vectors"]


def test_lanes_that_cannot_rank_losses_do_not_take_part(record, records_of):
    frozen = load_protocol("frozen")
    records = records_of({name: MEANS[name] for name in ("glyphs", "digits")})
    for seed in range(5):
        fields = {"dataset": "cub", "seed": seed, "protocol": frozen}
        records += [record(loss, None, map_at_r=0.2, **fields) for loss in MEANS["digits"]]
        records.append(record(baseline="pixels", map_at_r=0.3, **fields))
    assert across(make_tables(records)) is None


def test_the_page_says_how_little_it_tells_and_its_links_lead_to_tables(records_of):
    files = files_by_path(records_of(MEANS))
    page = files["across.md"]
    assert "[across](across.md)" in files["README.md"]
    for name in MEANS:
        assert f"[{name}]({name}/small.md)" in page
        assert f"{name}/small.md" in files
    assert "Little: 3 datasets." in page
    critical = 2.343 * np.sqrt(3 * 4 / (6 * 3))  # q(0.95; 3, inf) / sqrt(2), Demsar's table 5
    assert f"from a difference of {critical:.1f} on" in page
    assert "no two are" in page
    assert "no Wilcoxon test of two rows could reject anything" in page
    assert "| triplet |        1.33 |" in page


def test_class_splits_of_one_set_are_named(record, records_of, part):
    records = records_of({name: MEANS[name] for name in ("glyphs", "digits")})
    split = part("digits", settings={"split": 2}, changed={"split": 2})
    for loss, mean in MEANS["digits"].items():
        records.append(record(loss, None, dataset=split, map_at_r=mean))
    page = files_by_path(records)["across.md"]
    assert "are not independent" in page
    assert "Here that holds for digits." in page


def test_hostile_names_stay_text(records_of):
    evil = "a|b`<script>[x](y)"
    files = files_by_path(records_of({name: rows | {evil: 0.9} for name, rows in MEANS.items()}))
    tokens = MarkdownIt("commonmark").enable("table").parse(files["across.md"])
    children = [child for token in tokens for child in token.children or []]
    assert not any(child.type in ("html_inline", "code_inline") for child in children)
    assert evil in "".join(child.content for child in children)


def test_ties_share_their_mean_rank():
    assert rank_over(np.array([[0.5, 0.5, 0.9]])).ranks.tolist() == [[2.5, 2.5, 1.0]]


@pytest.mark.parametrize(("rows", "tabled"), [(2, 1.960), (5, 2.728), (10, 3.164)])
def test_critical_differences_are_those_of_the_printed_table(rows, tabled):
    values = np.random.default_rng(0).normal(size=(14, rows))
    expected = tabled * np.sqrt(rows * (rows + 1) / (6 * 14))
    assert rank_over(values).critical == pytest.approx(expected, abs=0.001 * expected)


def test_from_six_datasets_on_the_interval_is_the_percentile_bootstrap():
    values = np.random.default_rng(0).normal(size=(12, 4))
    found = rank_over(values)
    expected = stats.bootstrap(
        (found.ranks,), np.mean, axis=0, n_resamples=4000, method="percentile"
    ).confidence_interval
    assert found.resampled
    assert found.low == pytest.approx(expected.low, abs=0.12)
    assert found.high == pytest.approx(expected.high, abs=0.12)
    assert not rank_over(values[:5]).resampled


@pytest.mark.parametrize("values", [np.zeros((3, 1)), np.zeros(3), [[0.1, np.nan]]])
def test_what_has_no_ranks_is_refused(values):
    with pytest.raises(DataError):
        rank_over(values)
