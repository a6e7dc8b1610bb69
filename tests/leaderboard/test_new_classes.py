"""Claims about new test classes: from results by query, withheld where they would mean nothing."""

import csv
import io

import numpy as np
import pytest
from scipy import stats

from dmlbench.leaderboard.formats.markdown import PageImages, markdown_page
from dmlbench.leaderboard.publish import files_by_path
from dmlbench.leaderboard.tables import make_tables
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.record import Array

CLASSES, PER_CLASS = 60, 4


@pytest.fixture
def table_of(record):
    """Return a function that makes two rows a little apart on the mean, with results by query."""

    def make(*, classes=CLASSES, seeds=5, change=lambda arrays, loss, seed: arrays, **fields):
        rng = np.random.default_rng(0)
        labels = np.repeat(np.arange(classes), PER_CLASS).astype(np.int32)
        easy = {name: rng.normal(0, 0.1, classes) for name in ("triplet", "contrastive")}
        made = []
        for loss, mean in (("triplet", 0.53), ("contrastive", 0.5)):
            by_class = mean + easy[loss] - easy[loss].mean()
            for seed in range(seeds):
                value = (by_class + rng.normal(0, 0.005))[labels].astype(np.float32)
                arrays = {
                    "class": labels,
                    "relevant": np.full(len(labels), PER_CLASS - 1, dtype=np.int32),
                    "average_precision": value,
                }
                packed = {
                    name: Array.pack(array) for name, array in change(arrays, loss, seed).items()
                }
                figure = float(value.mean(dtype=np.float64))
                made.append(
                    record(loss, None, seed=seed, map_at_r=figure, per_query=packed, **fields)
                )
        (table,) = make_tables(made)
        return table

    return make


def only(table):
    (found,) = table.new_classes.values()
    return found


def test_a_row_that_is_worse_on_these_classes_need_not_be_on_others(table_of):
    table = table_of()
    (ranking,) = table.rankings.values()
    rows = {row.label: row.id for row in table.trained}
    assert ranking.groups[rows["contrastive"]] == "worse"
    others = only(table)
    assert others.groups[rows["contrastive"]] == "best"
    assert others.detectable > 5 * ranking.detectable
    assert others.classes == CLASSES


def test_the_page_gives_the_difference_of_the_best_two_under_both_kinds_of_noise(table_of):
    table = table_of()
    text = markdown_page(table, "x", PageImages())
    top = only(table).top
    ours, theirs = ([r.metrics["map_at_r"] for r in row.finished] for row in table.trained)
    low, high = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert top.new_seeds.half_width == pytest.approx((high - low) / 2)
    by_class = stats.sem(np.random.default_rng(0).normal(0, 0.1, (2, CLASSES)), axis=1)
    rough = stats.t.ppf(0.975, CLASSES - 1) * np.hypot(*by_class)
    assert top.half_width == pytest.approx(rough, rel=0.15)
    assert f"± {100 * top.new_seeds.half_width:.2f} for new seeds and" in text
    assert f"± {100 * top.half_width:.2f} for new seeds and new classes" in text
    assert "2 rows can't be told from the best (here: 1)" in text


def test_the_csv_file_has_the_rest(table_of):
    table = table_of()
    files = files_by_path(table.records)
    lines = list(csv.DictReader(io.StringIO(files["glyphs/small.csv"])))
    assert [line["group_new_classes"] for line in lines] == ["best", "best"]
    for line, row in zip(lines, table.trained, strict=True):
        width = only(table).half_widths[row.id]
        assert float(line["test_class_half_width"]) == float(f"{width:.6g}")
        assert float(line["behind_best_new_classes_half_width"]) >= 0


def without(name):
    return lambda arrays, loss, seed: {key: one for key, one in arrays.items() if key != name}


def with_one(name, value):
    def change(arrays, loss, seed):
        return arrays | ({name: value(arrays[name])} if (loss, seed) == ("triplet", 3) else {})

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without("class"), "not all records say the class of each test item"),
        (without("average_precision"), "not all records say the class"),
        (with_one("average_precision", lambda one: one + 0.01), "do not fit its figures"),
        (with_one("average_precision", lambda one: one[:-1]), "do not fit its figures"),
        (with_one("average_precision", lambda one: one * np.nan), "do not fit its figures"),
        (with_one("class", lambda one: one + 2**30), "do not fit its figures"),
        (with_one("class", lambda one: one - 1), "do not fit its figures"),
        (with_one("class", lambda one: one.astype(np.float64)), "do not fit its figures"),
        (with_one("class", lambda one: np.roll(one, 1)), "not of the same test items"),
    ],
)
def test_results_that_are_absent_or_do_not_fit_give_no_figure_and_a_reason(
    change, reason, table_of
):
    table = table_of(change=change)
    if reason == "not of the same test items":  # as many of each class: sums differ, counts don't
        table = table_of(change=with_one("class", lambda one: np.minimum(one, CLASSES - 2)))
    assert reason in only(table).absent
    text = markdown_page(table, "x", PageImages())
    assert reason in text
    assert "So nothing here is a claim about other classes." in text
    assert table.rankings["small-conv"].decided  # what holds for these classes stays


def test_below_50_classes_the_figure_is_withheld(table_of):
    assert "takes 50 test classes, and there are 49" in only(table_of(classes=49)).absent
    assert not only(table_of(classes=50)).absent


def test_lone_queries_do_not_count(table_of):
    def lonely(arrays, loss, seed):
        lone = arrays["class"] == 0
        relevant = np.where(lone, 0, arrays["relevant"]).astype(np.int32)
        return arrays | {"relevant": relevant}

    assert "do not fit" in only(table_of(change=lonely)).absent  # the mean is over the others


def test_below_five_seeds_there_is_no_sentence_on_classes(table_of):
    assert table_of(seeds=4).new_classes == {}


def test_a_lane_that_cannot_rank_losses_claims_nothing_on_other_classes(table_of):
    assert table_of(protocol=load_protocol("frozen")).new_classes == {}
