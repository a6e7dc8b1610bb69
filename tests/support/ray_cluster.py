"""Ray on this machine, with two nodes of one CPU each, and tasks for it."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from dmlbench import Event, Record, Trial, WorkerSettings
from dmlbench.contracts.executor import never
from dmlbench.testing.quick_trials import note


@contextmanager
def two_nodes() -> Iterator[Any]:
    """Yield a cluster; at the end, wait until no process of it or of its workers is left."""
    from ray.cluster_utils import Cluster

    before = set(psutil.Process().children(recursive=True))
    logging.getLogger("ray").setLevel(logging.ERROR)
    head = {"include_dashboard": False, "_system_config": {"worker_niceness": 0}}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **head})
    try:
        cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        started = set(psutil.Process().children(recursive=True)) - before
        cluster.shutdown()
        _, left = psutil.wait_procs(started, timeout=30)
        for process in left:
            process.kill()
        assert not left


def workers_under(pid: int) -> list[psutil.Process]:
    """Return the processes that run trials, of all that a process has started."""
    return [
        process
        for process in psutil.Process(pid).children(recursive=True)
        if "dmlbench.executors.worker_process" in " ".join(_command(process))
    ]


def _command(process: psutil.Process) -> list[str]:
    try:
        command: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return command


def dying_task(
    trial: Trial,
    settings: WorkerSettings,
    report: Callable[[Event], None],
    stop: Callable[[], bool] = never,
) -> Event:
    """Have Ray's process die at the first try of seed 0, and at all tries of seed 1."""
    path = note(settings, trial)
    tries = len(path.read_text().splitlines()) if path.exists() else 0
    with path.open("a") as file:
        file.write("started\n")
    report(Event("started", trial))
    if trial.seed == 1 or (trial.seed, tries) == (0, 0):
        os.kill(os.getppid(), 9)
        time.sleep(60)  # it ends with its parent
    return Event("finished", trial, record=Record(id=trial.id, trial=trial, status="finished"))
