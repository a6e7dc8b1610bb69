import warnings

import matplotlib as mpl
import numpy as np
import pytest

from dmlbench.leaderboard.distance_curves import curves_row, distance_curves
from dmlbench.leaderboard.formats.svg import distances_svg, ranking_svg
from dmlbench.leaderboard.tables import make_tables
from dmlbench.schemas.record import Distances, Epoch


def epochs(*pairs, split="test"):
    return [
        Epoch(epoch=i, distances={split: Distances(positive=positive, negative=negative)})
        for i, (positive, negative) in enumerate(pairs)
    ]


def test_pictures_repeat_to_the_byte_whatever_the_users_settings(glyphs_records):
    (table,) = make_tables(glyphs_records)
    first = ranking_svg(table), distances_svg(table.rows[0])
    with mpl.rc_context({"font.size": 20, "svg.fonttype": "none", "svg.hashsalt": None}):
        second = ranking_svg(table), distances_svg(table.rows[0])
    assert first == second
    assert all(svg.startswith("<?xml") for svg in first)


def test_pictures_carry_no_date(glyphs_records):
    (table,) = make_tables(glyphs_records)
    assert "<dc:date>" not in ranking_svg(table)


def test_drawing_leaves_the_users_settings_alone(glyphs_records):
    before = dict(mpl.rcParams)
    (table,) = make_tables(glyphs_records)
    ranking_svg(table)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", ["$\\frac{$", "$x$", "名前", "a -- b -->"])
def test_odd_names_are_drawn_without_a_warning(name, record):
    (table,) = make_tables([record(name, None)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ranking_svg(table)
        assert distances_svg(table.rows[0])


def test_a_table_without_a_finished_row_has_no_picture(record):
    (table,) = make_tables([record(status="failed", reason="x")])
    assert ranking_svg(table) is None
    assert curves_row(table) is None


def test_baselines_alone_are_drawn(record):
    (table,) = make_tables([record(baseline="pca")])
    assert ranking_svg(table)
    assert curves_row(table) is None


def test_hundreds_of_rows_make_no_endless_picture(record):
    (table,) = make_tables([record(f"loss-{i}", None, map_at_r=i / 500) for i in range(200)])
    assert "the 50 best" in ranking_svg(table)


def test_curves_are_means_over_seeds(record):
    seeds = [
        record(seed=0, epochs=epochs((0.1, 0.2), (0.2, 0.8))),
        record(seed=1, epochs=epochs((0.3, 0.4), (0.4, 1.0))),
    ]
    (row,) = make_tables(seeds)[0].rows
    (curve,) = distance_curves(row)
    assert (curve.split, curve.epochs) == ("test", [0, 1])
    assert curve.positive == pytest.approx([0.2, 0.3])
    assert curve.negative == pytest.approx([0.3, 0.9])
    assert curve.ratio == pytest.approx([(0.1 / 0.2 + 0.3 / 0.4) / 2, (0.2 / 0.8 + 0.4) / 2])


def test_a_negative_distance_of_zero_leaves_a_gap_in_the_ratio(record):
    (row,) = make_tables([record(epochs=epochs((0.0, 0.0), (0.1, 0.5)))])[0].rows
    (curve,) = distance_curves(row)
    assert np.isnan(curve.ratio[0])
    assert curve.ratio[1] == pytest.approx(0.2)
    assert distances_svg(row)


def test_epochs_without_distances_are_passed_over(record):
    measured = epochs((0.1, 0.2), (0.2, 0.8), (0.3, 0.9))
    measured[1] = Epoch(epoch=1, loss=0.5)
    (row,) = make_tables([record(epochs=measured)])[0].rows
    (curve,) = distance_curves(row)
    assert curve.epochs == [0, 2]
    assert curve.negative == [0.2, 0.9]
    assert distances_svg(row)


def test_one_epoch_makes_no_curve(record):
    (row,) = make_tables([record(epochs=epochs((0.1, 0.2)))])[0].rows
    assert distances_svg(row) is None


def test_the_siamese_experiment_is_drawn_where_it_is(record):
    better = record("margin", map_at_r=0.9)
    mined, classic = record("contrastive", "hard"), record("contrastive", "all-pairs")
    assert curves_row(make_tables([better, mined, classic])[0]).label == "contrastive + all-pairs"
    assert curves_row(make_tables([better, mined])[0]).label == "contrastive + hard"
    assert curves_row(make_tables([better, record()])[0]).label == "margin + random"
