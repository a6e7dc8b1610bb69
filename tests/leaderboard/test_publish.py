"""What `publish` writes: the same bytes for the same records, whole files, nothing injected."""

import csv
import io
import json
import random
import re
import xml.etree.ElementTree as ET
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt
from scipy import stats

from dmlbench.errors import ConfigError
from dmlbench.leaderboard.formats.json import TableDocument
from dmlbench.leaderboard.publish import publish
from dmlbench.schemas.protocol_file import load_protocol

HOSTILE = [
    "<script>alert(1)</script>",
    "a|b|c",
    "`tick` ```fence",
    "line\nbreak\r\n# heading\n| cell |",
    "=HYPERLINK(1)",
    "@SUM(1)",
    "$\\frac{$ $_^$",
    "--> <!-- ]]> &",
    "名前 \u202e\x00\x1b[31m",
    "x" * 10_000,
    "../../../etc",
    "\\end{table} \\input{/etc/passwd} {",
    "[0pt] * } % & # _ ^ ~ -- ---",
    "é ½ ﬁ ‰",
    "",
]


LATEX_COMMANDS = {
    *("begin", "end", "caption", "centering", "toprule", "midrule", "bottomrule"),
    *("textbackslash", "textasciicircum", "textasciitilde", "textless", "textgreater"),
    *("textbar", "textendash", "dots", "pm", "cdot", "`"),
}


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def published(records, folder: Path, **options) -> dict[str, str]:
    publish(records, folder, **options)
    return {path: text.decode() for path, text in contents(folder).items()}


def cells(page: str) -> list[str]:
    """Return the visible text of all cells of all tables of a page."""
    tokens = MarkdownIt("commonmark").enable("table").parse(page)
    texts = []
    for before, token in pairwise(tokens):
        if before.type in ("td_open", "th_open"):
            texts.append("".join(child.content for child in token.children or []))
    return texts


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_files_of_a_table_stand_beside_each_other(glyphs_records, tmp_path):
    paths = publish(glyphs_records, tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "README.md",
        "glyphs/small.csv",
        "glyphs/small.distances.svg",
        "glyphs/small.json",
        "glyphs/small.md",
        "glyphs/small.ranking.svg",
        "glyphs/small.tex",
        "glyphs/small.win-rates.csv",
    ]
    assert sorted(contents(tmp_path)) == [str(path.relative_to(tmp_path)) for path in paths]


def test_the_same_records_in_any_order_give_the_same_bytes(
    glyphs_records, cross_validated, tmp_path
):
    records = glyphs_records + cross_validated
    publish(records, tmp_path / "first")
    publish(records, tmp_path / "first")  # over what is there
    random.Random(1).shuffle(records)
    publish(records, tmp_path / "second")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_the_page_shows_the_figures_of_the_records_rounded(glyphs_records, tmp_path):
    page = published(glyphs_records, tmp_path)["glyphs/small.md"]
    chosen = [
        record.metrics
        for record in glyphs_records
        if record.trial.label == "contrastive + all-pairs"
    ]
    values = 100 * np.array([[m["recall@1"], m["map_at_r"]] for m in chosen])
    widths = stats.t.ppf(0.975, 2) * stats.sem(values)
    line = next(line for line in page.splitlines() if line.startswith("| contrastive "))
    shown = [cell.strip() for cell in line.strip("|").split("|")]
    assert shown[1] == f"{values[:, 1].mean():.2f} ± {widths[1]:.2f}"
    assert shown[2] == f"{values[:, 0].mean():.2f} ± {widths[0]:.2f}"


def test_the_csv_file_has_the_figures_to_six_digits(glyphs_records, tmp_path):
    rows = csv_rows(published(glyphs_records, tmp_path)["glyphs/small.csv"])
    for row in rows:
        chosen = [r for r in glyphs_records if r.trial.row == row["row_id"]]
        done = [r.metrics["map_at_r"] for r in chosen if r.status == "finished"]
        assert row["trial_ids"].split() == [r.id for r in chosen]
        assert len(row["seeds_finished"].split()) == len(done)
        if done:
            width = stats.t.ppf(0.975, len(done) - 1) * stats.sem(done)
            assert float(row["map_at_r"]) == float(f"{np.mean(done):.6g}")
            assert float(row["map_at_r_half_width"]) == pytest.approx(width, rel=5.1e-6, abs=1e-12)
    assert len(rows) == 13
    assert {row["kind"] for row in rows} == {"trained", "baseline", "failed"}


def test_failures_are_counted_and_listed_with_seed_and_reason(glyphs_records, tmp_path):
    files = published(glyphs_records, tmp_path)
    page = files["glyphs/small.md"]
    assert "2 of 3 (failed: 2)" in cells(page)
    assert "3 (collapsed: 1)" in cells(page)
    assert "- **arcface**, seed 2: The loss became nan at epoch 3" in page
    assert "- **broken-loss**, seeds 0, 1, 2: The loss 'broken-loss' of third-party 2.0" in page
    assert "Failed: 4 of 39 trials of [glyphs, small](glyphs/small.md)." in files["README.md"]


def test_rows_below_the_floors_are_marked(glyphs_records, tmp_path):
    marks = cells(published(glyphs_records, tmp_path)["glyphs/small.md"])
    assert "pixels" in marks  # by MAP@R, which orders the rows


def test_no_row_is_bold(glyphs_records, tmp_path):
    page = published(glyphs_records, tmp_path)["glyphs/small.md"]
    assert not any("**" in line for line in page.splitlines() if line.startswith("|"))


def test_a_single_seed_has_no_interval(record, tmp_path):
    page = published([record(map_at_r=0.25)], tmp_path)["glyphs/small.md"]
    assert "25.00" in cells(page)
    assert "± –" not in page


def test_equal_values_have_an_interval_of_zero(record, tmp_path):
    records = [record(map_at_r=0.1, seed=seed) for seed in range(3)]
    assert "10.00 ± 0.00" in cells(published(records, tmp_path)["glyphs/small.md"])


def test_cross_validation_shows_accuracy_and_no_recall(cross_validated, tmp_path):
    page = published(cross_validated, tmp_path)["iris/vectors.md"]
    assert "94.20 ± 0.50" in cells(page)  # 0.94, 0.942, 0.944: 4.303 * 0.002 / sqrt(3)
    assert "5-NN accuracy" in cells(page)
    assert "Recall" not in page
    assert "5 stratified folds" in page


def test_items_a_baseline_was_fitted_on_are_stated_where_limited(record, tmp_path):
    details = {"fit_items": 3000, "train_items": 30_596}
    page = published([record(baseline="nca", details=details)], tmp_path)["glyphs/small.md"]
    assert "3,000 of 30,596" in cells(page)


def test_the_page_says_what_was_held_equal(glyphs_records, tmp_path):
    page = published(glyphs_records, tmp_path)["glyphs/small.md"]
    for fact in (
        "fingerprint ffffffffffffffff",
        "embedding size 64",
        "8 epochs x 40 steps",
        "best MAP@R on held-out classes (25 % of those of training); never chosen on test",
        "**Distance:** cosine",
        "**Ties:** pessimistic",
        "torch 2.15.0",
        "dmlbench run --all --dataset glyphs --protocol small --seeds 3",
    ):
        assert fact in page, fact


@pytest.mark.parametrize(
    ("beats", "words"),
    [
        ((None, None), "3–5 of 8"),
        ((True, True), "3–5 of 8"),
        ((True, False), "3–5 of 8, none better than untrained at 1 of 2 seeds"),
    ],
)
def test_the_page_says_where_training_gained_nothing_on_held_out_classes(
    record, tmp_path, beats, words
):
    records = [
        record(seed=seed, selected_epoch=3 + 2 * seed, details={"beats_epoch_0": found})
        for seed, found in enumerate(beats)
    ]
    page = published(records, tmp_path)["glyphs/small.md"]
    assert words in cells(page)


def test_the_page_says_how_training_images_are_changed_and_how_many_classes_held_out(
    record, tmp_path
):
    protocol = load_protocol("resnet50-512").change("augmentation.hue", "0.1")
    selection = "best MAP@R on held-out classes"
    records = [record(protocol=protocol, selection=selection), record(baseline="pixels")]
    pages = published(records, tmp_path)
    (page,) = (text for path, text in pages.items() if "resnet50" in path and path.endswith(".md"))
    assert "256 pixels on the short side, cut to squares of 224 (bicubic)" in page
    assert (
        "112 items by m-per-class, each cut to a random part (16 % of its area or more, sides up "
        "to 1.33 to 1), half of them mirrored, colours changed (hue 0.1)"
    ) in page
    assert f"{selection} (25 % of those of training, every 2 epochs); never chosen on test" in page
    larger = protocol.change("store_side", "300")
    pages = published([record(protocol=larger, selection=selection)], tmp_path)
    (page,) = (
        text for path, text in pages.items() if "store_side" in path and path.endswith(".md")
    )
    assert "training crops from at most 300 pixels on the short side; else 256 pixels on" in page
    (other,) = (text for path, text in pages.items() if path == "glyphs/small.md")
    assert "no network was trained" in other


def test_a_setting_that_only_some_records_tell_is_not_said_of_all(record, tmp_path):
    told = {**record().settings, "processor": "a new one"}
    records = [record(), record(seed=1, settings=told), record(seed=2, settings={})]
    page = published(records, tmp_path)["glyphs/small.md"]
    assert "device: cpu; precision: float32; processor: a new one or not recorded; thr" in page


def test_only_failed_trials_still_make_a_page(record, tmp_path):
    files = published([record(status="failed", reason="no memory")], tmp_path)
    names = [f"glyphs/small.{ending}" for ending in ("csv", "json", "md", "tex")]
    assert sorted(files) == ["README.md", *names]
    assert "- **triplet + random**, seed 0: no memory" in files["glyphs/small.md"]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_hostile_texts_break_nothing(text, record, part, tmp_path):
    own = part(text, distribution=text, version=text, reference=text, changed={text: text})
    protocol = load_protocol("small").model_copy(
        update={"name": text, "description": text, "source": text}
    )
    fields = {
        "dataset": part(text, reference=text, changed={text: text}),
        "protocol": protocol,
        "parts": {"loss": own, "miner": own, "backbone": own},
        "versions": {text: text},
        "settings": {text: text},
        "selection": text,
    }
    details = {"reducer": text, "train_items": text}
    records = [record(**fields, details=details, seed=seed) for seed in (0, 1)]
    records.append(record(**fields, seed=2, status="failed", reason=text))
    records.append(record(**fields, seed=3))

    def columns(of):
        return {text: text}

    files = published(records, tmp_path / "in" / "side", columns=columns)
    assert list(contents(tmp_path)) == [
        f"in/side/{path}" for path in contents(tmp_path / "in" / "side")
    ]
    for path, content in files.items():
        assert len(path) < 200
        if path.endswith(".md"):
            check_page(content)
        elif path.endswith(".csv"):
            check_csv(content)
        elif path.endswith(".json"):
            check_json(content)
        elif path.endswith(".tex"):
            check_latex(content)
        else:
            check_svg(content)


def check_page(page: str) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(page)
    html = [token.content for token in tokens if token.type == "html_block"]
    assert all(re.fullmatch(r"<!-- Made by .*? -->\n?", content) for content in html)
    inline = [child for token in tokens if token.type == "inline" for child in token.children or []]
    assert not any(child.type in ("html_inline", "code_inline") for child in inline)
    links = [child.attrs["href"] for child in inline if child.type == "link_open"]
    assert all(re.fullmatch(r"[A-Za-z0-9.=_+/-]+", link) for link in links)
    headings = [t for before, t in pairwise(tokens) if before.type == "heading_open"]
    assert len([t for t in headings if t.content == "heading"]) == 0
    pipes = [re.sub(r"\\.", "", line).count("|") for line in page.splitlines()]
    for is_table, group in groupby(pipes, key=bool):
        assert not is_table or len(set(group)) == 1
    assert max(map(len, page.splitlines())) < 6000


def check_csv(content: str) -> None:
    rows = list(csv.reader(io.StringIO(content, newline="")))
    assert {len(row) for row in rows} == {len(rows[0])}
    cells_ = [cell for row in rows for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells_)
    assert not any("\n" in cell for cell in cells_)
    assert max(map(len, cells_)) <= 2000


def check_json(content: str) -> None:
    TableDocument.model_validate_json(content, strict=True)

    def refuse(constant):
        raise AssertionError(constant)

    texts = [json.loads(content, parse_constant=refuse)]
    while texts:
        one = texts.pop()
        if isinstance(one, str):
            assert one.isprintable(), one
            assert len(one) <= 6000
        else:
            texts += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()


def check_latex(content: str) -> None:
    """Follow TeX's own rules: groups and environments close, special characters are escaped."""
    assert content.isascii()
    lines = [line for line in content.splitlines() if not line.startswith("% Made by")]
    open_environments = []
    for line in lines:
        assert "%" not in line.replace("\\%", "")
        rest = re.sub(r"\\[\\&%$#_{}]", "", line.removesuffix(r" \\"))
        for verb, name in re.findall(r"\\(begin|end)\{([a-z]+)\}", rest):
            if verb == "begin":
                open_environments.append(name)
            else:
                assert open_environments.pop() == name
        assert set(re.findall(r"\\([A-Za-z]+|.)", rest)) <= LATEX_COMMANDS, line
        depth = 0
        for mark in rest:
            depth += (mark == "{") - (mark == "}")
            assert depth >= 0
        assert depth == 0, line
        in_text = re.sub(r"\$\\(pm|cdot)\$|\\`", "", rest)
        assert not set(in_text) & set("$#_^~|<>`"), line
    assert open_environments == []
    assert not re.search(r"\\\\\s*[\[*]", content)
    for table in re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", content, re.S):
        columns, body = table
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        cells_ = {len(re.findall(r"(?<!\\)&", line)) + 1 for line in rows}
        assert cells_ == {len(columns)}


def check_svg(content: str) -> None:
    root = ET.fromstring(content)
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not tags & {"script", "foreignObject", "a", "image", "text"}


def test_other_files_in_the_folder_stay(record, tmp_path):
    mine = tmp_path / "glyphs" / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    publish([record()], tmp_path)
    assert mine.read_text() == "mine"


def test_no_temporary_files_are_left(glyphs_records, tmp_path):
    publish(glyphs_records, tmp_path)
    assert not [path for path in contents(tmp_path) if Path(path).name.startswith(".")]


@pytest.mark.parametrize("taken", ["out", "out/glyphs", "out/glyphs/small.md/x"])
def test_a_folder_that_cannot_be_written_is_one_clear_error(taken, record, tmp_path):
    blocker = tmp_path / taken
    blocker.parent.mkdir(parents=True, exist_ok=True)
    blocker.write_text("a file where a folder should be, or the other way round")
    with pytest.raises(ConfigError, match=r"--output"):
        publish([record()], tmp_path / "out")


def test_no_records_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="no records"):
        publish([], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tables_of_the_same_name_do_not_overwrite_each_other(record, tmp_path):
    records = [record(), record(fingerprint="0" * 64)]
    pages = [path for path in published(records, tmp_path) if path.startswith("glyphs/small-")]
    assert len([path for path in pages if path.endswith(".md")]) == 2


def test_datasets_named_like_the_index_or_the_records_get_another_folder(record, tmp_path):
    files = published([record(dataset="README.md"), record(dataset="runs")], tmp_path)
    folders = {path.partition("/")[0] for path in files if "/" in path}
    assert folders == {"README.md-data", "runs-data"}


def test_every_link_of_the_index_and_the_pages_leads_to_a_file(
    glyphs_records, cross_validated, tmp_path
):
    files = published(glyphs_records + cross_validated, tmp_path)
    for path, text in files.items():
        if path.endswith(".md"):
            for link in re.findall(r"\]\(([^)]+)\)", text):
                assert (tmp_path / path).parent.joinpath(link).is_file(), (path, link)


def test_the_index_lists_each_table_with_its_highest_mean(
    glyphs_records, cross_validated, tmp_path
):
    shown = cells(published(glyphs_records + cross_validated, tmp_path)["README.md"])
    lines = [shown[i : i + 6] for i in range(0, len(shown), 6)]
    assert [line[0] for line in lines] == ["Dataset", "glyphs", "Dataset", "iris"]
    assert lines[1][3] == "multi-similarity + multi-similarity"
    assert lines[3][2] == "5-NN accuracy 96.00 ± 0.00"
