"""What jobs need, checked before the first one is submitted."""

import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

import psutil

from dmlbench import ConfigError, WorkerSettings

_OF_THIS_MACHINE = frozenset({"tmpfs", "ramfs", "devtmpfs"})
"""File systems that are memory of one machine."""


def check_submitit() -> None:
    """Check that submitit is installed.

    Raises:
        ConfigError: it isn't.
    """
    if find_spec("submitit") is None:
        raise ConfigError(
            'The executor slurm needs submitit. Install it: pip install "dmlbench[slurm]"'
        )


def check_commands() -> None:
    """Check that jobs can be submitted from this machine.

    Raises:
        ConfigError: Slurm's commands are missing.
    """
    for command in ("sbatch", "srun", "squeue", "scancel", "sinfo"):
        if shutil.which(command) is None:
            raise ConfigError(
                f"There is no {command} on the path, so no job can be submitted from here. Start "
                "the run on a machine of the cluster that has Slurm's commands. To run trials on "
                "this machine, leave --executor slurm out."
            )


def check_folders(settings: WorkerSettings) -> None:
    """Check that other machines may see the folders that jobs read and write.

    Raises:
        ConfigError: one is only on this machine.
    """
    cache = settings.cache_dir or os.environ.get("DMLBENCH_CACHE")
    for option, folder in (
        ("--output", settings.records),
        ("--data-dir", settings.data_dir),
        ("--cache-dir", cache and Path(cache)),
    ):
        if folder and (why := _why_not_shared(folder.absolute())):
            raise ConfigError(
                f"{folder} {why}, and jobs run on others. Choose a folder that all see with "
                f"{option}, or say --set executor.check_shared=false if they see this one."
            )


def _why_not_shared(folder: Path) -> str:
    """Return why a folder is only on this machine, as the rest of a sentence; else nothing."""
    folder = folder.resolve()
    temporary = {Path(name).resolve() for name in ("/tmp", "/var/tmp", tempfile.gettempdir())}
    if inside := temporary & {folder, *folder.parents}:
        return f"is in {inside.pop()}, which each machine has of its own"
    kinds = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    kind = next((kinds[each] for each in (folder, *folder.parents) if each in kinds), "")
    return f"is in the memory of this machine ({kind})" if kind in _OF_THIS_MACHINE else ""
