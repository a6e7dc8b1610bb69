"""LaTeX and JSON hold what the table holds."""

import json
import re

import pytest

from dmlbench.leaderboard.formats.json import TableDocument, document, to_json
from dmlbench.leaderboard.formats.latex import to_latex
from dmlbench.leaderboard.metric_names import percent
from dmlbench.leaderboard.tables import make_tables


@pytest.fixture
def table(glyphs_records):
    return make_tables(glyphs_records)[0]


def bodies(text: str) -> list[list[list[str]]]:
    """Return the cells of each tabular."""
    found = re.findall(r"\\midrule\n(.*?)\n\\bottomrule", text, re.S)
    return [
        [line.removesuffix(r" \\").split(" & ") for line in body.splitlines()] for body in found
    ]


def test_latex_has_the_rows_and_figures_of_the_table_in_its_order(table):
    trained, baselines = bodies(to_latex(table))
    for lines, rows in ((trained, table.trained), (baselines, table.baselines)):
        assert len(lines) == len(rows)
        for line, row in zip(lines, rows, strict=True):
            figures = [percent(row.metrics[name]).replace("±", r"$\pm$") for name in table.metrics]
            assert [cell for cell in line if "pm" in cell] == figures
            assert line[0] == row.names.get("loss", row.names.get("baseline"))


def test_latex_uses_the_rules_of_booktabs_alone(table):
    text = to_latex(table)
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(rf"\{rule}") == 2
    assert r"\hline" not in text
    assert r"\usepackage{booktabs}" in text.splitlines()[0]


def test_latex_of_backbones_stands_apart_and_captions_name_them(record, part):
    records = [record(), record(parts={"backbone": part("linear_net")}), record(baseline="pca")]
    text = to_latex(make_tables(records)[0])
    assert re.findall(r"\\caption\{(.*?)\.", text) == [
        r"glyphs $\cdot$ small, linear\_net",
        r"glyphs $\cdot$ small, small-conv",
        r"glyphs $\cdot$ small, baselines",
    ]


def test_latex_of_failed_trials_alone_is_a_comment(record):
    text = to_latex(make_tables([record(status="failed", reason="x")])[0])
    assert all(line.startswith("%") or not line for line in text.splitlines())


def six_digits(value):
    return vars(value) | {
        name: None if figure is None else float(f"{figure:.6g}")
        for name, figure in (("mean", value.mean), ("half_width", value.half_width))
    }


def test_json_has_every_figure_to_six_digits(table):
    content = json.loads(to_json(table))
    assert content["format"] == "dmlbench table"
    assert content["version"] == 1
    assert len(content["rows"]) == len(table.rows)
    for line, row in zip(content["rows"], table.rows, strict=True):
        assert line["row_id"] == row.id
        assert line["trial_ids"] == [record.id for record in row.records]
        for name, value in row.metrics.items():
            assert line["metrics"][name] == six_digits(value)
        for name, value in row.last_epoch_metrics.items():
            assert line["last_epoch_metrics"][name] == six_digits(value)
        assert line["seeds"]["failed"] == [record.trial.seed for record in row.failed]


def test_json_is_read_back_by_its_schema(table):
    text = to_json(table)
    read = TableDocument.model_validate_json(text, strict=True)
    assert read.model_dump(mode="json") == json.loads(text)
    assert read.protocol_fields == document(table).protocol_fields


def test_json_says_how_rows_were_compared_and_why_seeds_failed(table):
    content = json.loads(to_json(table))
    (lane,) = content["lanes"]
    assert lane["says"] == table.rankings["small-conv"].sentences()
    failed = [line for line in content["rows"] if line["seeds"]["failed"]]
    assert all(line["reasons"] for line in failed)


def test_a_figure_that_is_no_number_is_null_in_json_and_a_dash_elsewhere(record):
    spoilt = record().model_copy(update={"metrics": {"map_at_r": float("nan")}})
    (table,) = make_tables([spoilt])
    (line,) = json.loads(to_json(table))["rows"]
    assert line["metrics"]["map_at_r"] == {"mean": None, "half_width": None, "n": 1}
    assert "nan" not in to_latex(table)
