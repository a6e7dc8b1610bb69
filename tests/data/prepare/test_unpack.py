"""Archives: what is in them, nothing else, nowhere else, and no damage goes unnoticed."""

import errno
import gzip
import io
import shutil
import stat
import tarfile
import zipfile
from collections import namedtuple
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dmlbench import DataError
from dmlbench.data.prepare import unpack as unpacking
from dmlbench.data.prepare.archive_members import is_packed
from dmlbench.data.prepare.unpack import copy, unpack

MODES = {".tar": "w", ".tgz": "w:gz", ".tar.gz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}
SUFFIXES = [*MODES, ".zip"]
FILES = {
    "set/list.txt": b"1 a.jpg\n2 b.jpg\n",
    "set/images/a.jpg": np.random.default_rng(0).bytes(3000),
    "set/images/deep/er/b.jpg": np.random.default_rng(1).bytes(50),
    "set/empty": b"",
}


def silent(*_: object) -> None:
    pass


def pack(path: Path, files: dict[str, bytes] = FILES) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.mkdir("set")
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    with tarfile.open(path, MODES["".join(path.suffixes)]) as tar:
        folder = tarfile.TarInfo("./set")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o4777
            tar.addfile(member, io.BytesIO(content))
    return path


def found(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "inside" / "folder"
    target.mkdir(parents=True)
    return target


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_archive_unpacks_to_its_files(suffix, folder, tmp_path):
    path = pack(tmp_path / f"a{suffix}")
    assert is_packed(path)
    unpack(path, folder, silent)
    assert found(folder) == FILES
    modes = {path.stat().st_mode & 0o7111 for path in folder.rglob("*") if path.is_file()}
    assert modes == {0}  # neither programs nor anybody else's rights


def test_progress_goes_up_to_the_size_of_the_archive(folder, tmp_path):
    path, seen = pack(tmp_path / "a.tar"), []
    unpack(path, folder, lambda *step: seen.append(step))
    assert len(seen) == len(FILES)
    assert {total for _, _, total in seen} == {path.stat().st_size}
    assert all(before <= after for (_, before, _), (_, after, _) in pairwise(seen))
    assert seen[-1][1] <= path.stat().st_size


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_archive_cut_short_anywhere_is_an_error(suffix, tmp_path):
    whole = pack(tmp_path / f"a{suffix}").read_bytes()
    end = whole.rindex(FILES["set/empty"]) if suffix != ".tar" else 512 * 14
    path = tmp_path / f"short{suffix}"
    for length in np.linspace(0, end - 1, 40).astype(int):
        path.write_bytes(whole[:length])
        target = tmp_path / f"target{length}"
        target.mkdir()
        with pytest.raises(DataError, match=r"short.*is damaged or cut short.*Download it again"):
            unpack(path, target, silent)


def test_a_tar_archive_without_its_end_mark_is_an_error(folder, tmp_path):
    whole = pack(tmp_path / "a.tar").read_bytes()
    end = len(whole.rstrip(b"\0"))
    path = tmp_path / "b.tar"
    path.write_bytes(whole[: -(-end // 512) * 512])
    with pytest.raises(DataError, match="ends without an end mark"):
        unpack(path, folder, silent)


@pytest.mark.parametrize("suffix", [".tgz", ".tar.bz2", ".tar.xz", ".zip"])
def test_a_changed_byte_of_a_compressed_archive_never_changes_a_file(suffix, tmp_path):
    whole = pack(tmp_path / f"a{suffix}").read_bytes()
    path = tmp_path / f"changed{suffix}"
    unnoticed = 0
    for number, place in enumerate(np.linspace(0, len(whole) - 1, 60).astype(int)):
        changed = bytearray(whole)
        changed[place] ^= 0x55
        path.write_bytes(changed)
        target = tmp_path / f"target{number}"
        target.mkdir()
        try:
            unpack(path, target, silent)
        except DataError:
            continue
        unnoticed += 1
        contents = list(found(target).values())
        assert all(content in FILES.values() for content in contents)
    assert unnoticed < 12  # dates and such


def test_a_damaged_header_in_the_middle_of_a_tar_archive_is_no_end(folder, tmp_path):
    whole = bytearray(pack(tmp_path / "a.tar").read_bytes())
    place = whole.index(b"set/images/deep")
    whole[place] ^= 1
    path = tmp_path / "b.tar"
    path.write_bytes(whole)
    with pytest.raises(DataError, match="a header is damaged"):
        unpack(path, folder, silent)


def tar_with(member: tarfile.TarInfo) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        with tarfile.open(folder / "bad.tar", "w") as tar:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
        return folder / "bad.tar"

    return write


def special(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    member.size = 1 if kind == tarfile.REGTYPE else 0
    return member


def zip_with(name: str, mode: int = 0) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        info = zipfile.ZipInfo("placeholder")
        info.filename = name
        info.external_attr = mode << 16
        with zipfile.ZipFile(folder / "bad.zip", "w") as archive:
            archive.writestr(info, "../../secret")
        return folder / "bad.zip"

    return write


@pytest.mark.parametrize(
    "write",
    [
        tar_with(special("../escaped")),
        tar_with(special("set/../../escaped")),
        tar_with(special("/tmp/escaped-absolute")),
        tar_with(special("..\\escaped")),
        tar_with(special("link", tarfile.SYMTYPE, "/etc/passwd")),
        tar_with(special("link", tarfile.SYMTYPE, "inside")),
        tar_with(special("link", tarfile.LNKTYPE, "../../escaped")),
        tar_with(special("device", tarfile.CHRTYPE)),
        tar_with(special("device", tarfile.BLKTYPE)),
        tar_with(special("pipe", tarfile.FIFOTYPE)),
        tar_with(special("../folder/", tarfile.DIRTYPE)),
        zip_with("../escaped"),
        zip_with("/tmp/escaped-absolute"),
        zip_with("set\\..\\..\\escaped"),
        zip_with("link", stat.S_IFLNK | 0o777),
        zip_with("device", stat.S_IFCHR | 0o600),
        zip_with("pipe", stat.S_IFIFO | 0o600),
    ],
)
def test_what_could_do_harm_ends_it_and_nothing_is_written_anywhere(write, folder, tmp_path):
    (tmp_path / "archives").mkdir()
    path = write(tmp_path / "archives")
    with pytest.raises(DataError, match=r"holds '.*(leads out|a link or a device)"):
        unpack(path, folder, silent)
    assert list(tmp_path.rglob("*escaped*")) == []
    assert not Path("/tmp/escaped-absolute").exists()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_comes_twice_is_an_error(suffix, folder, tmp_path):
    path = tmp_path / f"a{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a", "1")
            archive.writestr("a", "2")
    else:
        with tarfile.open(path, "w") as tar:
            for _ in range(2):
                tar.addfile(special("a"), io.BytesIO(b"x"))
    with pytest.raises(DataError, match=r"Two files would become .*a.*given twice"):
        unpack(path, folder, silent)


@pytest.mark.parametrize("suffix", [".tgz", ".zip"])
def test_an_archive_that_swells_is_left_alone(suffix, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "ALWAYS_ALLOWED", 1000)
    path = pack(tmp_path / f"bomb{suffix}", {"zeros": bytes(10**6)})
    with pytest.raises(DataError, match="would unpack to more than"):
        unpack(path, folder, silent)
    assert sum(map(len, found(folder).values())) == 0


def test_an_archive_of_too_many_files_is_left_alone(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MOST_FILES", 3)
    with pytest.raises(DataError, match="or 3 files"):
        unpack(pack(tmp_path / "a.zip"), folder, silent)


def test_a_zip_archive_with_a_password_is_an_error(folder, tmp_path):
    content = bytearray(pack(tmp_path / "a.zip", {"a": b"abc"}).read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.rindex(signature) + offset] |= 1
    path = tmp_path / "b.zip"
    path.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        unpack(path, folder, silent)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_something_else_under_an_archive_s_name_is_an_error(suffix, folder, tmp_path):
    for content in (b"", b"<html>Sign in to download</html>" * 100, gzip.compress(b"no tar")):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(content)
        with pytest.raises(DataError, match="is damaged or cut short"):
            unpack(path, folder, silent)


def test_room_is_looked_for_before_anything_is_written(folder, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10, 9, 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    for source, put in ((pack(tmp_path / "a.zip"), unpack), (tmp_path / "inside", copy)):
        (tmp_path / "inside" / "file").write_bytes(b"12")
        with pytest.raises(
            DataError, match=r"at least \S+ bytes in .*, but 1 are free\. Free some"
        ):
            put(source, folder, silent)
    assert list(folder.iterdir()) == []


def test_a_full_disk_is_named(folder, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = pack(tmp_path / "a.tgz")
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(DataError, match=r"Can't write .*: the disk is full"):
        unpack(path, folder, silent)


def test_a_folder_is_copied_and_links_in_it_are_refused(folder, tmp_path):
    unpack(pack(tmp_path / "a.zip"), tmp_path / "inside", silent)
    source = tmp_path / "inside" / "set"
    copy(source, folder, silent)
    assert found(folder) == {name.removeprefix("set/"): text for name, text in FILES.items()}
    (source / "link").symlink_to("/etc")
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="link is a link or a device"):
        copy(source, tmp_path / "other", silent)
    assert list((tmp_path / "other").iterdir()) == []
