"""``dmlbench data prepare``: whatever is wrong is one clear error, and nothing stays."""

import tarfile
from pathlib import Path

import pytest
from support.official_archives import given, listing, pack
from support.official_sets import TINY, write_cub

pytestmark = pytest.mark.usefixtures("whole_sets")
NAMES = list(TINY)


@pytest.mark.parametrize("damage", ["cut short", "changed", "renamed"])
def test_an_archive_that_is_not_the_official_one_is_refused(damage, dmlbench, archives, data_dir):
    (path,) = archives("sop")
    content = path.read_bytes()
    reasons = {
        "cut short": r"bytes, the official file .*Was its download cut short?",
        "changed": "its sha256 is",
        "renamed": "no official file has its name",
    }
    if damage == "renamed":
        path = path.rename(path.with_name("other.zip"))
    elif damage == "changed":
        path.write_bytes(content[:-1] + b"\x01")
    else:
        path.write_bytes(content[:-1])
    result = dmlbench("data", "prepare", "sop", "--from", path, "--data-dir", data_dir)
    assert result.code == 2
    assert all(part in result.err for part in reasons[damage].split(".*"))
    assert listing(data_dir) == []


@pytest.mark.parametrize("name", ["cub", "sop"])
def test_an_archive_cut_short_is_an_error_even_if_it_is_allowed(name, dmlbench, archives, data_dir):
    (path,) = archives(name)
    path.write_bytes(path.read_bytes()[:-600])
    command = ("data", "prepare", name, "--from", path, "--data-dir", data_dir)
    for more in ((), ("--allow-partial",)):
        result = dmlbench(*command, "--allow-unverified", *more)
        assert result.code == 2
        assert "damaged or cut short" in result.err
        assert listing(data_dir) == []


@pytest.mark.parametrize("name", [name for name in NAMES if TINY[name].labels])
def test_an_archive_without_a_label_file_is_an_error_that_names_it(
    name, dmlbench, tmp_path, data_dir
):
    tiny = TINY[name]
    tiny.write(tmp_path / "set")
    (tmp_path / "set" / tiny.root / tiny.labels).unlink()
    path = pack(tmp_path / "set", tmp_path / "set.tar")
    command = ("data", "prepare", name, "--from", path, "--data-dir", data_dir)
    result = dmlbench(*command, "--allow-unverified", "--allow-partial")
    assert result.code == 2
    assert Path(tiny.labels).name in result.err
    assert listing(data_dir) == []


def test_an_archive_that_leads_out_of_the_folder_is_an_error(dmlbench, tmp_path, data_dir):
    write_cub(tmp_path / "set")
    path = tmp_path / "set.tar"
    pack(tmp_path / "set", path)
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo("../escaped")
        tar.addfile(member)
    command = ("data", "prepare", "cub", "--from", path, "--data-dir", data_dir)
    result = dmlbench(*command, "--allow-unverified")
    assert result.code == 2
    assert "leads out of the folder" in result.err
    assert listing(data_dir) == []
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["cub"], "Name the data folder"),
        (["cub", "--data-dir", "data"], "Say where its archives are"),
        (["cub", "--data-dir", "data", "--from", "nowhere"], "there is no such file"),
        (["cub", "--data-dir", "data", "--from", "empty"], "contains no archive of cub, nor"),
        (["cub", "--data-dir", "data", "--from", "."], "contains the data folder itself"),
        (["glyphs", "--data-dir", "data"], "nothing to prepare for glyphs"),
        (["cup", "--data-dir", "data"], "Did you mean 'cub'?"),
        (["folder", "--data-dir", "data"], "is a family"),
        (["cub", "--set", "parts=1", "--data-dir", "data"], "no hyper-parameter 'parts'"),
        (["cub", "--set", "part", "--data-dir", "data"], "not of the form part=small"),
    ],
)
def test_a_wrong_request_is_one_clear_error(arguments, problem, dmlbench, data_dir, tmp_path):
    (tmp_path / "empty").mkdir()
    result = dmlbench("data", "prepare", *arguments)
    assert result.code == 2
    assert problem in result.err
    assert "Traceback" not in result.err
    assert listing(data_dir) == []


def test_a_folder_of_that_name_that_is_not_the_set_is_not_touched(dmlbench, archives, data_dir):
    paths = given(archives("cub"))
    (data_dir / "cub").mkdir()
    (data_dir / "cub" / "notes.txt").write_text("mine")
    result = dmlbench("data", "prepare", "cub", *paths, "--data-dir", data_dir)
    assert result.code == 2
    assert "exists already; remove or repair it." in result.err
    assert listing(data_dir / "cub") == ["notes.txt"]


def test_a_file_that_cannot_be_written_ends_it_without_a_trace(
    dmlbench, archives, data_dir, monkeypatch
):
    paths = given(archives("cub"))

    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        result = dmlbench("data", "prepare", "cub", *paths, "--data-dir", data_dir)
    assert result.code == 2
    assert "Permission denied" in result.err
    assert listing(data_dir) == []
