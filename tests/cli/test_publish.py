"""``dmlbench publish`` and its check, from records on disk."""

from pathlib import Path

import pytest


@pytest.fixture
def runs(dmlbench, tiny, tmp_path) -> Path:
    """Records of one baseline, and their leaderboards beside them."""
    request = ("run", "--dataset", "digits-closed", "--baseline", "pixels", "--protocol", tiny)
    assert dmlbench(*request, "--jobs", 0, "--seeds", 1).code == 0
    return tmp_path / "runs"


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_check_of_fresh_tables_says_how_many_files_it_compared(dmlbench, runs, tmp_path):
    before = contents(tmp_path)
    result = dmlbench("publish", "--check")
    assert result.code == 0, result.err
    number = len([path for path in before if "leaderboards" in path.parts])
    assert result.out == f"{number} files compared byte for byte.\n"
    assert contents(tmp_path) == before


def test_a_check_names_what_is_stale_and_how_to_mend_it(dmlbench, runs, tmp_path):
    page = tmp_path / "leaderboards" / "digits-closed" / "tiny.md"
    page.write_text(page.read_text() + "by hand")
    before = contents(tmp_path)
    result = dmlbench("publish", "--check")
    assert result.code == 1
    assert "stale: leaderboards/digits-closed/tiny.md: not what the records give" in result.err
    assert "dmlbench publish --runs runs --output leaderboards" in result.err
    assert contents(tmp_path) == before
    assert dmlbench("publish").code == 0
    assert dmlbench("publish", "--check").code == 0


def test_a_check_finds_a_damaged_record(dmlbench, runs, tmp_path):
    (runs / "damaged.json").write_text("{")
    result = dmlbench("publish", "--check")
    assert result.code == 1
    assert "damaged.json" in result.err
    assert "stale" not in result.err


def test_a_check_of_pictures_by_another_matplotlib_says_that_it_left_them(
    dmlbench, runs, monkeypatch
):
    import matplotlib

    monkeypatch.setattr(matplotlib, "__version__", "3.8.0")
    result = dmlbench("publish", "--check")
    assert result.code == 0, result.err
    assert "; 1 picture only checked for presence" in result.out
    assert "matplotlib 3.8.0" in result.out


def test_a_check_without_records_is_a_wrong_request(dmlbench):
    result = dmlbench("publish", "--check")
    assert result.code == 2
    assert "There are no records in runs" in result.err


def test_a_site_shows_what_is_retrieved_where_embeddings_were_kept(dmlbench, tiny, tmp_path):
    request = ("run", "--dataset", "digits-closed", "--baseline", "pixels", "--protocol", tiny)
    assert dmlbench(*request, "--jobs", 0, "--seeds", 1, "--keep-embeddings").code == 0
    result = dmlbench("publish", "--html", "site")
    assert result.code == 0, result.err
    assert "open site/index.html" in result.out
    (trial,) = (tmp_path / "site" / "trials").rglob("*.html")
    assert "data:image/png;base64," in trial.read_text()
    assert (tmp_path / "leaderboards" / "README.md").is_file()


def test_a_site_without_embeddings_says_how_to_keep_them(dmlbench, runs, tmp_path):
    assert dmlbench("publish", "--html", "site").code == 0
    (trial,) = (tmp_path / "site" / "trials").rglob("*.html")
    assert "--keep-embeddings" in trial.read_text()
    assert "data:image" not in trial.read_text()


def test_a_site_is_not_checked(dmlbench, runs, tmp_path):
    result = dmlbench("publish", "--check", "--html", "site")
    assert result.code == 2
    assert "leave --html out" in result.err
    assert not (tmp_path / "site").exists()
