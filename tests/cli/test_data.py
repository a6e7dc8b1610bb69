"""``dmlbench data``: from archives to sets that load, and everything that can go wrong."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from official_sets import TINY, picture, write_cub, write_fashion

from dmlbench import Archive
from dmlbench.data.locking import exclusive
from dmlbench_datasets import fashion_mnist

NAMES = list(TINY)


@pytest.fixture(autouse=True)
def whole(monkeypatch):
    """Expect of each set what its tiny stand-in has."""
    for tiny in TINY.values():
        monkeypatch.setattr(tiny.plugin, "expected", tiny.expected)


@pytest.fixture
def data_dir(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def official(path: Path) -> Archive:
    content = path.read_bytes()
    return Archive(path.name, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def pack(folder: Path, archive: Path) -> Path:
    """Pack all that is in `folder`, in the order of names."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    archive.parent.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in paths:
                file.write(path, path.relative_to(folder))
    else:
        mode = "w:gz" if archive.suffix == ".tgz" else "w"
        with tarfile.open(archive, mode) as file:
            for path in paths:
                file.add(path, path.relative_to(folder))
    return archive


@pytest.fixture
def archives(tmp_path, monkeypatch):
    """Return a function that packs a tiny set as its authors did; the files pass for official."""

    def make(name: str) -> list[Path]:
        tiny, folder, out = TINY[name], tmp_path / "unpacked" / name, tmp_path / "archives" / name
        tiny.write(folder)
        out.mkdir(parents=True)
        paths = []
        if name == "cars":
            for part, archive in (("cars_train", "cars_train"), ("cars_test", "cars_test")):
                (tmp_path / part).mkdir()
                shutil.copytree(folder / part, tmp_path / part / part)
                paths.append(pack(tmp_path / part, out / f"{archive}.tgz"))
            (tmp_path / "kit").mkdir()
            shutil.copytree(folder / "devkit", tmp_path / "kit" / "devkit")
            paths.append(pack(tmp_path / "kit", out / "car_devkit.tgz"))
            labels = "cars_test_annos_withlabels.mat"
            paths.append(Path(shutil.copy(folder / labels, out / labels)))
        elif name == "inshop":
            root = folder / tiny.root
            paths.append(pack(root / "Img", out / "img.zip"))
            paths.append(Path(shutil.copy(root / tiny.labels, out / Path(tiny.labels).name)))
        elif name == "omniglot":
            for part in ("images_background", "images_evaluation"):
                (tmp_path / part).mkdir()
                shutil.copytree(folder / part, tmp_path / part / part)
                paths.append(pack(tmp_path / part, out / f"{part}.zip"))
        else:
            paths.append(pack(folder, out / tiny.plugin.archives[0].name))
        monkeypatch.setattr(tiny.plugin, "archives", tuple(map(official, paths)))
        return paths

    return make


def given(paths: list[Path]) -> list[object]:
    return [part for path in paths for part in ("--from", path)]


def fingerprint(out: str) -> str:
    (line,) = [line for line in out.splitlines() if line.startswith("split fingerprint: ")]
    return line.split()[-1]


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# What is well


@pytest.mark.parametrize("name", NAMES)
def test_archives_are_prepared_verified_and_load(name, dmlbench, archives, data_dir):
    result = dmlbench("data", "prepare", name, *given(archives(name)), "--data-dir", data_dir)
    assert result.code == 0, result.err
    assert f"{name} is ready in {data_dir / name}" in result.err
    assert listing(data_dir) == [name]
    record = json.loads((data_dir / name / "prepared.json").read_text())
    assert all(source["verified"] for source in record["sources"])
    tiny = TINY[name]
    splits = tiny.plugin().load(data_dir)
    assert {split: len(table) for split, table in splits.items()} == {
        split: items for split, (items, _) in tiny.expected.items()
    }
    verified = dmlbench("data", "verify", name, "--data-dir", data_dir)
    assert verified.code == 0, verified.err
    for split, (items, classes) in tiny.expected.items():
        assert f"{split}: {items} items of {classes} classes" in verified.out
    assert "Everything opens." in verified.out
    assert "unverified" not in verified.out


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_with_the_archives_and_one_with_the_set_give_the_same(
    name, dmlbench, archives, tmp_path
):
    folder = archives(name)[0].parent
    prints = []
    for number, source in enumerate((folder, tmp_path / "unpacked" / name / TINY[name].root)):
        data_dir = tmp_path / f"data{number}"
        data_dir.mkdir()
        result = dmlbench("data", "prepare", name, "--from", source, "--data-dir", data_dir)
        assert result.code == 0, result.err
        verified = dmlbench("data", "verify", name, "--data-dir", data_dir)
        prints.append(fingerprint(verified.out))
    assert len(prints[0]) == 64
    assert prints[0] == prints[1]


def test_archives_in_the_data_folder_are_found(dmlbench, archives, data_dir):
    for path in archives("cars"):
        shutil.move(path, data_dir)
    result = dmlbench("data", "prepare", "cars", "--data-dir", data_dir)
    assert result.code == 0, result.err
    assert (data_dir / "cars" / "cars_test").is_dir()


def test_fashion_mnist_s_files_are_copied_as_they_are(dmlbench, tmp_path, data_dir, monkeypatch):
    write_fashion(tmp_path)
    known = []
    for archive in fashion_mnist.ARCHIVES:
        path = tmp_path / "fashion-mnist" / archive.name
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        known.append(Archive(path.name, size=path.stat().st_size, md5=md5))
    monkeypatch.setattr(fashion_mnist, "ARCHIVES", tuple(known))
    monkeypatch.setattr(fashion_mnist.FashionMNIST, "archives", tuple(known))
    source = tmp_path / "fashion-mnist"
    for _ in range(2):
        result = dmlbench(
            "data", "prepare", "fashion-mnist", "--from", source, "--data-dir", data_dir
        )
        assert result.code == 0, result.err
    assert listing(data_dir / "fashion-mnist") == sorted([*listing(source), "prepared.json"])
    assert dmlbench("data", "verify", "fashion-mnist", "--data-dir", data_dir).code == 0


def test_what_is_ready_is_left_alone(dmlbench, archives, data_dir):
    paths = given(archives("cub"))
    assert dmlbench("data", "prepare", "cub", *paths, "--data-dir", data_dir).code == 0
    before = (data_dir / "cub").stat().st_ino
    result = dmlbench("data", "prepare", "cub", "--from", "nowhere", "--data-dir", data_dir)
    assert result.code == 0
    assert "cub is ready" in result.err
    assert (data_dir / "cub").stat().st_ino == before


def test_list_tells_what_is_ready_and_how_to_get_the_rest(dmlbench, archives, data_dir):
    dmlbench("data", "prepare", "cub", *given(archives("cub")), "--data-dir", data_dir)
    out = dmlbench("data", "list", "--data-dir", data_dir).out
    states = dict(line.split(maxsplit=1) for line in out.splitlines() if not line.startswith(" "))
    assert states["cub"] == states["glyphs"] == "ready"
    assert states["sop"] == "not here"
    assert states["folder"] == "your own"
    for text in ("licence: MIT", "cite: B. M. Lake", "get it: Stanford Online Products is not in"):
        assert text in out
    (data_dir / "cub" / "CUB_200_2011" / TINY["cub"].image).unlink()
    out = dmlbench("data", "list", "--data-dir", data_dir).out
    assert "a part is here" in next(line for line in out.splitlines() if line.startswith("cub "))


# A part of a set, and archives that nobody knows


def test_a_part_needs_to_be_allowed_and_tables_say_so(dmlbench, archives, data_dir, tiny, tmp_path):
    archives("cub")
    folder = tmp_path / "unpacked" / "cub"
    (folder / TINY["cub"].root / TINY["cub"].image).unlink()
    part = pack(folder, tmp_path / "part.tar")
    command = ("data", "prepare", "cub", "--from", part, "--data-dir", data_dir)
    refused = dmlbench(*command, "--allow-unverified")
    assert refused.code == 2
    assert "is not whole: train has 5 images of 2 classes, not 6 of 2" in refused.err
    assert "--allow-partial" in refused.err
    assert listing(data_dir) == []
    assert dmlbench(*command, "--allow-unverified", "--allow-partial").code == 0
    run = ("run", "--dataset", "cub", "--baseline", "pixels", "--seeds", 1, "--protocol", tiny)
    run += ("--jobs", 0, "--data-dir", data_dir)
    assert "is not whole" in dmlbench(*run).err
    result = dmlbench(*run, "--allow-partial")
    assert result.code == 0, result.err
    assert "cub (partial=True)" in result.out
    (page,) = Path("leaderboards").glob("*/*.md")
    assert "cub (partial=True)" in page.read_text()
    verified = dmlbench("data", "verify", "cub", "--allow-partial", "--data-dir", data_dir)
    assert verified.code == 0
    assert "unverified: made from part.tar" in verified.out
    assert dmlbench("data", "verify", "cub", "--data-dir", data_dir).code == 1


def test_queries_search_the_gallery_in_a_run(dmlbench, archives, data_dir, tiny):
    paths = given(archives("inshop"))
    assert dmlbench("data", "prepare", "inshop", *paths, "--data-dir", data_dir).code == 0
    run = ("run", "--dataset", "inshop", "--baseline", "pixels", "--seeds", 1, "--jobs", 0)
    result = dmlbench(*run, "--protocol", tiny, "--data-dir", data_dir)
    assert result.code == 0, result.err
    (path,) = Path("runs").rglob("*.json")
    record = json.loads(path.read_text())
    assert record["details"]["test_items"] == record["details"]["gallery_items"] == 2
    assert set(record["metrics"]) >= {"recall@1", "recall@10", "recall@40", "map_at_r"}


def test_sets_without_a_part_run_beside_those_that_have_one(dmlbench, data_dir, tiny):
    write_cub(data_dir)
    run = ("run", "--dataset", "cub,digits", "--baseline", "pixels", "--seeds", 1, "--dry-run")
    result = dmlbench(*run, "--protocol", tiny, "--data-dir", data_dir, "--allow-partial")
    assert result.code == 0, result.err
    assert "cub (partial=True), protocol" in result.out
    assert "digits, protocol" in result.out


def test_an_unknown_archive_needs_to_be_allowed_and_is_warned_of(
    dmlbench, archives, data_dir, tmp_path
):
    archives("cub")
    other = pack(tmp_path / "unpacked" / "cub", tmp_path / "birds.tar")
    command = ("data", "prepare", "cub", "--from", other, "--data-dir", data_dir)
    refused = dmlbench(*command)
    assert refused.code == 2
    assert "none of the official files by its name" in refused.err
    assert "--allow-unverified" in refused.err
    taken = dmlbench(*command, "--allow-unverified")
    assert taken.code == 0
    assert "WARNING: UNVERIFIED" in taken.err
    assert "unverified: made from birds.tar" in (
        dmlbench("data", "verify", "cub", "--data-dir", data_dir).out
    )


def test_an_archive_without_a_known_checksum_is_taken_and_that_is_said(
    dmlbench, archives, data_dir, monkeypatch
):
    paths = archives("inshop")
    plugin = TINY["inshop"].plugin
    monkeypatch.setattr(plugin, "archives", tuple(Archive(path.name) for path in paths))
    result = dmlbench("data", "prepare", "inshop", *given(paths), "--data-dir", data_dir)
    assert result.code == 0
    assert "No checksum of img.zip is known" in result.err


# What goes wrong


@pytest.mark.parametrize("damage", ["cut short", "changed", "renamed"])
def test_an_archive_that_is_not_the_official_one_is_refused(damage, dmlbench, archives, data_dir):
    (path,) = archives("sop")
    content = path.read_bytes()
    reasons = {
        "cut short": r"bytes, the official file .*Was its download cut short?",
        "changed": "its sha256 is",
        "renamed": "none of the official files by its name",
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


def test_verify_lists_every_damaged_image_and_exits_with_1(dmlbench, data_dir):
    write_cub(data_dir)
    images = sorted((data_dir / "CUB_200_2011" / "images").rglob("*.jpg"))
    images[0].write_bytes(b"")
    images[4].write_bytes(images[4].read_bytes()[:100])
    images[7].write_bytes(b"GIF89a, no more")
    result = dmlbench("data", "verify", "cub", "--data-dir", data_dir)
    assert result.code == 1
    damaged = [line for line in result.err.splitlines() if line.startswith("damaged: ")]
    for line, number in zip(damaged, (0, 4, 7), strict=True):
        assert str(images[number]) in line
    assert "empty (0 bytes)" in damaged[0]
    assert "3 damaged files" in result.err


def test_verify_names_images_that_are_listed_and_absent(dmlbench, data_dir):
    write_cub(data_dir)
    (data_dir / TINY["cub"].root / TINY["cub"].image).unlink()
    result = dmlbench("data", "verify", "cub", "--data-dir", data_dir)
    assert result.code == 1
    assert f"Listed but absent: {TINY['cub'].image}." in result.err


def test_verify_compares_archives_that_lie_about(dmlbench, archives, data_dir):
    (path,) = archives("cub")
    write_cub(data_dir)
    shutil.copy(path, data_dir)
    assert dmlbench("data", "verify", "cub", "--data-dir", data_dir).code == 0
    (data_dir / path.name).write_bytes(b"x" * path.stat().st_size)
    result = dmlbench("data", "verify", "cub", "--data-dir", data_dir)
    assert result.code == 1
    assert f"damaged: {data_dir / path.name}: its sha256 is" in result.err


def test_one_set_has_one_fingerprint_wherever_it_lies_and_another_split_another(
    dmlbench, data_dir, tmp_path
):
    def found(folder: Path) -> str:
        return fingerprint(dmlbench("data", "verify", "cub", "--data-dir", folder).out)

    write_cub(data_dir)
    write_cub(tmp_path / "other" / "cub")
    before = found(data_dir)
    assert found(tmp_path / "other") == before
    labels = data_dir / "CUB_200_2011" / "image_class_labels.txt"
    lines = labels.read_text().splitlines()
    assert (lines[0], lines[3]) == ("1 1", "4 100")
    labels.write_text("\n".join(["1 100", *lines[1:3], "4 1", *lines[4:]]))
    assert found(data_dir) != before


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["cub"], "Name the data folder"),
        (["cub", "--data-dir", "data"], "Say where its archives are"),
        (["cub", "--data-dir", "data", "--from", "nowhere"], "there is no such file"),
        (["cub", "--data-dir", "data", "--from", "empty"], "no archive of cub is in it, nor"),
        (["cub", "--data-dir", "data", "--from", "."], "holds the data folder itself"),
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
    assert "is there already; take it away, or mend it." in result.err
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


# Whole processes


def start(*arguments: object, before: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dmlbench", *map(str, arguments)]
    if before:
        quoted = " ".join(f"'{part}'" for part in command)
        command = ["unshare", "-rm", "sh", "-c", f"{before} && {quoted}; echo code $?"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def large(tmp_path):
    """An archive that packs small and unpacks to more than 4 MB."""
    write_cub(tmp_path / "set")
    (tmp_path / "set" / "zeros").write_bytes(bytes(4 * 2**20))
    return pack(tmp_path / "set", tmp_path / "birds.tgz")


ALLOWED = ("--allow-partial", "--allow-unverified")


@pytest.mark.skipif(
    sys.platform != "linux"
    or subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0,
    reason="needs a mount of its own",
)
@pytest.mark.parametrize(
    ("options", "reason"), [("size=1m", "the disk is full"), ("size=9m,ro", "Can't write to")]
)
def test_a_full_disk_and_one_that_is_read_only_end_it_without_a_trace(
    options, reason, large, data_dir
):
    command = ("data", "prepare", "cub", "--from", large, "--data-dir", data_dir, *ALLOWED)
    process = start(*command, before=f"mount -t tmpfs -o {options} none '{data_dir}'")
    out, err = process.communicate()
    assert "code 2" in out, err
    assert reason in err
    assert "Traceback" not in err


def test_two_processes_prepare_one_set_one_after_the_other(large, data_dir):
    command = ("data", "prepare", "cub", "--from", large, "--data-dir", data_dir, *ALLOWED)
    with exclusive(data_dir / ".cub.lock", lambda owner: None):
        processes = [start(*command) for _ in range(2)]
        for process in processes:
            assert f"Waiting for process {os.getpid()} on " in process.stderr.readline()
    for process in processes:
        _, err = process.communicate()
        assert process.returncode == 0, err
        assert "cub is ready" in err
    assert listing(data_dir) == ["cub"]


def test_a_process_that_is_killed_leaves_nothing_that_loads_and_the_next_starts_afresh(
    large, data_dir, dmlbench
):
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from dmlbench.data.preparing import Preparation\n"
        "from dmlbench_datasets.cub import CUB\n"
        "steps = []\n"
        "def progress(what, done, total):\n"
        "    steps.append(what)\n"
        "    if len(steps) == 12: os.kill(os.getpid(), 9)\n"
        "data, archive = map(Path, sys.argv[1:])\n"
        "Preparation('cub', CUB(partial=True), data, (archive,), True, print, progress).run()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, data_dir, large], check=False)
    assert done.returncode == -9
    assert listing(data_dir) == [".cub.lock", "cub.partial"]
    assert len([path for path in (data_dir / "cub.partial").rglob("*") if path.is_file()]) == 12
    assert dmlbench("data", "verify", "cub", "--allow-partial", "--data-dir", data_dir).code == 1
    (data_dir / "cub.partial" / "leftover").write_text("of the first attempt")
    command = ("data", "prepare", "cub", "--from", large, "--data-dir", data_dir, *ALLOWED)
    again = dmlbench(*command)
    assert again.code == 0, again.err
    assert listing(data_dir) == ["cub"]
    assert "leftover" not in listing(data_dir / "cub")


def test_ctrl_c_leaves_nothing(dmlbench, large, data_dir, monkeypatch):
    from dmlbench.data import preparing

    def interrupted(*_: object) -> None:
        picture(data_dir / "cub.partial" / "half.jpg")
        raise KeyboardInterrupt

    monkeypatch.setattr(preparing, "unpack", interrupted)
    command = ("data", "prepare", "cub", "--from", large, "--data-dir", data_dir, *ALLOWED)
    assert dmlbench(*command).code == 130
    assert listing(data_dir) == []
