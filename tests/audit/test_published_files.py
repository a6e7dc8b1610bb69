"""Stale files are found and named, and nothing else is."""

from pathlib import Path

import matplotlib
import pytest

from dmlbench.audit.published_files import check
from dmlbench.leaderboard.publish import files_by_path, publish
from dmlbench.schemas.record import Record

PICTURES = ("glyphs/small.distances.svg", "glyphs/small.ranking.svg")


def put(texts: dict[str, str], folder: Path) -> Path:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def records(record) -> list[Record]:
    return [record(seed=0), record(baseline="pixels")]


@pytest.fixture
def texts(records) -> dict[str, str]:
    return files_by_path(records)


@pytest.fixture
def folder(texts, tmp_path) -> Path:
    return put(texts, tmp_path)


def test_what_was_just_published_is_fresh(records, texts, tmp_path):
    publish(records, tmp_path)
    findings = check(texts, tmp_path)
    assert findings.stale == {}
    assert findings.compared == tuple(sorted(texts))
    assert findings.present == ()


def test_each_file_that_is_missing_or_differs_is_named(texts, folder):
    (folder / "glyphs" / "small.csv").unlink()
    page = folder / "glyphs" / "small.md"
    page.write_text(page.read_text().replace("30.0", "90.0", 1))
    picture = folder / "glyphs" / "small.ranking.svg"
    picture.write_text(picture.read_text() + " ")
    assert check(texts, folder).stale == {
        "glyphs/small.csv": "missing",
        "glyphs/small.md": "not what the records give",
        "glyphs/small.ranking.svg": "not what the records give",
    }


def test_an_empty_folder_lacks_every_file_and_gains_none(texts, tmp_path):
    assert set(check(texts, tmp_path / "none").missing) == set(texts)
    assert not (tmp_path / "none").exists()


def test_one_record_more_makes_the_tables_stale(record, records, folder):
    more = [*records, record(seed=7)]
    stale = check(files_by_path(more), folder).stale
    assert {"README.md", "glyphs/small.md", "glyphs/small.csv"} <= set(stale)


@pytest.mark.parametrize("version", ["3.0.0", ""])
def test_of_a_picture_by_another_matplotlib_only_the_presence_counts(texts, folder, version):
    for name in PICTURES:
        path = folder / name
        own = f"drawn by Matplotlib {matplotlib.__version__}"
        assert own in path.read_text()
        path.write_text(path.read_text().replace(own, f"drawn by Matplotlib {version}") + " ")
    findings = check(texts, folder)
    assert findings.present == PICTURES
    assert findings.stale == {}
    (folder / PICTURES[0]).unlink()
    assert check(texts, folder).stale == {PICTURES[0]: "missing"}


def test_files_of_a_table_that_is_no_more_are_left_over(record, texts, folder):
    gone = record(status="failed", reason="no memory", dataset="iris")
    put({name: text for name, text in files_by_path([gone]).items() if "/" in name}, folder)
    assert check(texts, folder).left_over == tuple(
        f"iris/small.{ending}" for ending in ("csv", "json", "md", "tex")
    )
    failed = record(status="failed", reason="no memory")
    assert check(files_by_path([failed]), folder).left_over == (
        *PICTURES,
        *(f"iris/small.{ending}" for ending in ("csv", "json", "md", "tex")),
    )


def test_the_page_of_ranks_over_datasets_that_are_no_more_is_left_over(texts, folder):
    (folder / "across.md").write_text(texts["README.md"].partition("\n")[0] + "\n\n# Across")
    (folder / "mine.md").write_text("# Mine")
    assert check(texts, folder).left_over == ("across.md",)


def test_files_of_others_are_nobody_s_business(texts, folder):
    (folder / "glyphs" / "notes.md").write_text("# Mine")
    (folder / "glyphs" / "small.txt").write_text("mine too")
    (folder / "glyphs" / "other.csv").write_text("a,b")
    put(texts, folder / "more")  # leaderboards of other records, in a folder inside
    assert check(texts, folder).stale == {}
