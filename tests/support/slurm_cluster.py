"""A Slurm cluster of one node, this machine, that a test starts and stops by itself."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from support.processes import wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=6
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
KillWait=10
MessageTimeout=60
BatchStartTimeout=60
SlurmdTimeout=0
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 Sockets=2 CoresPerSocket=1 ThreadsPerCore=1
PartitionName=main Nodes=ALL Default=YES MaxTime=60 State=UP
PartitionName=long Nodes=ALL MaxTime=INFINITE State=UP
"""
"""A requeued job waits for `cred_expire` seconds; by default two minutes."""


def slurm_is_missing() -> str:
    """Return why no cluster can be started here; empty if one can."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if missing:
        return f"Slurm is not installed (slurm-wlm and munge): there is no {missing[0]}"
    return "" if os.geteuid() == 0 else "only root can start Slurm"


@contextmanager
def slurm_cluster() -> Iterator[None]:
    """Have Slurm's commands talk to a cluster of this machine, which has two CPUs for jobs."""
    with ExitStack() as stack:
        # A socket's path is at most 107 characters long.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-")))
        ports = _free_ports()
        host = socket.gethostname().partition(".")[0]
        configuration = folder / "slurm.conf"
        configuration.write_text(
            CONFIGURATION.format(
                folder=folder, host=host, controller_port=ports[0], node_port=ports[1]
            )
        )
        for name in ("state", "spool"):
            (folder / name).mkdir()
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("PATH", PATH)
        patch.setenv("SLURM_CONF", str(configuration))
        stack.enter_context(_munge(folder))
        stack.enter_context(_daemon(folder, "slurmctld", "-D", "-i"))
        stack.enter_context(_daemon(folder, "slurmd", "-D"))
        wait_until(lambda: said("sinfo", "--noheader", "--format=%t") == "idle", 120)
        stack.callback(_end_all_jobs)
        yield


def said(*command: str) -> str:
    """Return what a command of Slurm says."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def processes_of(text: str) -> list[psutil.Process]:
    """Return the processes whose command line contains `text`."""
    processes = psutil.process_iter(["cmdline"])
    return [each for each in processes if text in " ".join(each.info["cmdline"] or ())]


@contextmanager
def _munge(folder: Path) -> Iterator[None]:
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    files = {"socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log"}
    files |= {"key-file": key.name, "seed-file": "munge.seed"}
    options = [f"--{name}={folder / file}" for name, file in files.items()]
    with _daemon(folder, "munged", "--foreground", "--force", *options):
        wait_until((folder / "munge.socket").exists)
        yield


@contextmanager
def _daemon(folder: Path, name: str, *options: str) -> Iterator[None]:
    with open(folder / f"{name}.output", "wb") as output:
        process = subprocess.Popen(
            [shutil.which(name, path=PATH) or name, *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_all_jobs() -> None:
    subprocess.run(["scancel", "--signal=KILL", "--user=root"], check=False)
    subprocess.run(["scancel", "--user=root"], check=False)
    wait_until(lambda: not said("squeue", "--noheader"), 120)


def _free_ports() -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
