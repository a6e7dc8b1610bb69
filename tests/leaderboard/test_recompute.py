"""An independent script recomputes every published figure from the records, and notices lies."""

import ast
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from dmlbench.leaderboard.publish import publish
from dmlbench.storage.record_store import Store

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("recompute.py")


@pytest.fixture(scope="module")
def recompute():
    spec = importlib.util.spec_from_file_location("recompute", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.recompute


def test_the_script_imports_nothing_of_dmlbench():
    imported = {
        name
        for node in ast.walk(ast.parse(SCRIPT.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or node.names[0].name]
    }
    assert not any(name.startswith("dmlbench") for name in imported)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["leaderboards", "leaderboards/miners"])
def test_every_published_figure_can_be_recomputed_from_the_records(folder, recompute):
    wrong, checked = recompute(ROOT / folder)
    assert wrong == []
    assert checked > 500


@pytest.fixture
def folder(record, glyphs_records, tmp_path):
    """Return published tables: some seeds failed, others enough to rank."""
    rng = np.random.default_rng(0)
    records = list(glyphs_records)
    for seed in range(6):
        for loss, mean in {"triplet": 0.3, "margin": 0.299, "arcface": 0.2, "circle": 0.31}.items():
            figures = {"map_at_r": mean + rng.normal(0, 0.003), "recall_at_1": 0.5}
            lost = {"status": "failed", "reason": "NaN"} if (loss, seed) == ("circle", 5) else {}
            records.append(record(loss, None, dataset="cub", seed=seed, **figures, **lost))
        for baseline, mean in {"pixels": 0.25, "untrained": rng.uniform(0.1, 0.2)}.items():
            records.append(
                record(baseline=baseline, dataset="cub", seed=seed, map_at_r=mean, recall_at_1=0.6)
            )
    for one in records:
        Store(tmp_path / "runs").write(one)
    publish(records, tmp_path)
    return tmp_path


def test_made_up_tables_can_be_recomputed_too(folder, recompute):
    wrong, checked = recompute(folder)
    assert wrong == []
    assert checked > 500


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("cub/small.csv", ",best,", ",worse,"),
        ("cub/small.csv", ",0 1 2 3 4 5,", ",0 1 2 3 4,"),
        ("glyphs/small.json", '"n": 3', '"n": 3, "mean": 0.5'),
        ("cub/small.json", '"1 of 2 pairs of neighbours', '"2 of 2 pairs of neighbours'),
        ("cub/small.win-rates.csv", ",1.0,", ",0.8,"),
    ],
)
def test_a_changed_cell_is_found(path, old, new, folder, recompute):
    text = (folder / path).read_text()
    assert old in text
    (folder / path).write_text(text.replace(old, new, 1))
    assert recompute(folder)[0]


def test_a_changed_figure_of_a_page_is_found(folder, recompute):
    page = folder / "cub" / "small.md"
    line = next(line for line in page.read_text().splitlines() if line.startswith("| triplet"))
    figure = line.split("|")[2]
    page.write_text(page.read_text().replace(figure, figure.replace(".", ".1", 1)))
    assert any("instead of" in one for one in recompute(folder)[0])


def test_a_record_that_no_table_shows_is_found(record, folder, recompute):
    Store(folder / "runs").write(record("contrastive", seed=9))
    (wrong,) = recompute(folder)[0]
    assert "records in no table" in wrong


def test_another_figure_in_a_record_is_found(folder, recompute):
    path = next(path for path in (folder / "runs" / "cub").rglob("triplet-*.json"))
    text = path.read_text()
    assert '"recall@1": 0.5,' in text
    path.write_text(text.replace('"recall@1": 0.5,', '"recall@1": 0.51,'))
    assert any("recall@1" in one for one in recompute(folder)[0])
