"""``dmlbench data prepare`` as a process: killed, beside another, on a full disk."""

import os
import subprocess
import sys

import pytest
from support.official_archives import listing, pack
from support.official_sets import picture, write_cub

from dmlbench.storage.locks import exclusive

pytestmark = pytest.mark.usefixtures("whole_sets")


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
    ("options", "reason"), [("size=1m", "the disk is full"), ("size=9m,ro", "Can't lock")]
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
        "from dmlbench.data.prepare.prepare import Preparation\n"
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
    from dmlbench.data.prepare import prepare

    def interrupted(*_: object) -> None:
        picture(data_dir / "cub.partial" / "half.jpg")
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "unpack", interrupted)
    command = ("data", "prepare", "cub", "--from", large, "--data-dir", data_dir, *ALLOWED)
    assert dmlbench(*command).code == 130
    assert listing(data_dir) == []
