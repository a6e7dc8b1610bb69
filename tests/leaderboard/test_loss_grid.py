"""Grids of loss by miner and loss by sampler, and what their differences go with."""

import numpy as np
import pytest

from dmlbench.leaderboard.loss_grid import by_miner, by_sampler
from dmlbench.leaderboard.publish import publish
from dmlbench.leaderboard.tables import make_tables
from dmlbench.schemas.protocol_file import load_protocol

LOSSES = {"triplet": 0.3, "margin": 0.2, "contrastive": 0.25}
MINERS = {"semi-hard": 0.0, "random": -0.1, "batch-hard": 0.05}


def grid_records(record, *, without=(), seeds=3, **fields):
    rng = np.random.default_rng(5)
    return [
        record(loss, miner, seed=seed, map_at_r=base + gain + rng.normal(0, 0.01), **fields)
        for loss, base in LOSSES.items()
        for miner, gain in MINERS.items()
        for seed in range(seeds)
        if (loss, miner, seed) not in without
    ]


def sums_of_squares(values: np.ndarray) -> dict[str, float]:
    """The two-way analysis of variance in plain loops; `values` is [losses, miners, seeds]."""
    grand, (a, b, n) = values.mean(), values.shape
    found = {"loss": 0.0, "miner": 0.0, "their combination": 0.0, "seeds": 0.0}
    for i in range(a):
        for j in range(b):
            for k in range(n):
                loss, miner = values[i].mean() - grand, values[:, j].mean() - grand
                found["loss"] += loss**2
                found["miner"] += miner**2
                found["their combination"] += (values[i, j].mean() - grand - loss - miner) ** 2
                found["seeds"] += (values[i, j, k] - values[i, j].mean()) ** 2
    return found


def test_a_grid_holds_each_loss_with_each_miner_and_says_what_made_the_difference(record):
    records = grid_records(record)
    (table,) = make_tables(records)
    grid = by_miner(table)
    assert grid.losses == ("triplet", "contrastive", "margin")
    assert grid.parts == ("batch-hard", "semi-hard", "random")
    values = np.array(
        [
            [
                [
                    r.metrics["map_at_r"]
                    for r in records
                    if (r.trial.parts["loss"].name, r.trial.parts["miner"].name) == (loss, miner)
                ]
                for miner in grid.parts
            ]
            for loss in grid.losses
        ]
    )
    assert grid.cells["margin", "random"].mean == pytest.approx(values[2, 2].mean())
    expected = sums_of_squares(values)
    total = sum(expected.values())
    assert total == pytest.approx(((values - values.mean()) ** 2).sum())
    assert grid.shares == pytest.approx({key: value / total for key, value in expected.items()})


def test_a_loss_or_miner_that_lacks_cells_is_left_out(record):
    more = [record("nt-xent", "all-pairs", seed=0), record("triplet", "all-pairs", seed=0)]
    (table,) = make_tables([*grid_records(record), *more])
    grid = by_miner(table)
    assert set(grid.losses) == set(LOSSES)
    assert set(grid.parts) == set(MINERS)


def test_many_losses_that_met_little_do_not_hide_the_grid(record):
    lonely = [record(f"loss-{number}", "semi-hard", seed=0) for number in range(40)]
    (table,) = make_tables([*grid_records(record), *lonely])
    grid = by_miner(table)
    assert set(grid.losses) == set(LOSSES)
    assert set(grid.parts) == set(MINERS)


def test_without_enough_in_common_there_is_no_grid(record, glyphs_records):
    (table,) = make_tables(glyphs_records)
    assert by_miner(table) is None
    (baselines,) = make_tables([record(baseline="pixels")])
    assert by_miner(baselines) is None


def test_missing_seeds_leave_the_means_but_no_shares(record):
    (table,) = make_tables(grid_records(record, without=[("margin", "random", 1)]))
    grid = by_miner(table)
    assert grid.cells["margin", "random"].n == 2
    assert grid.shares == {}
    (single,) = make_tables(grid_records(record, seeds=1))
    assert by_miner(single).shares == {}


def test_samplers_have_tables_of_their_own_and_stand_side_by_side_on_one_page(record, tmp_path):
    base = load_protocol("small")
    records = []
    for number, sampler in enumerate(("m-per-class", "random", "paper")):
        protocol = base.change("sampler", sampler)
        records += [
            record(loss, "all-pairs", seed=seed, map_at_r=value - 0.05 * number, protocol=protocol)
            for loss, value in LOSSES.items()
            for seed in range(2)
        ]
    tables = make_tables(records)
    assert len(tables) == 3
    grid = by_sampler(tables)
    assert grid.parts == ("m-per-class", "random", "paper")
    assert grid.losses[0] == "triplet + all-pairs"
    publish(records, tmp_path)
    page = (tmp_path / "glyphs" / "small.samplers.md").read_text()
    assert "(small+sampler=random.md)" in page
    assert "[glyphs](glyphs/small.samplers.md)" in (tmp_path / "README.md").read_text()
    assert "| triplet + all-pairs " in page
    assert "sampler" in page.split("sum of squares")[1]
    for name in ("small", "small+sampler=random", "small+sampler=paper"):
        assert "| triplet " in (tmp_path / "glyphs" / f"{name}.md").read_text()
