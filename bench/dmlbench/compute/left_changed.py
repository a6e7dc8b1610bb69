"""What a trial leaves changed in its process: it is named, and put back as far as that goes."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from dmlbench.compute.process_settings import SETTINGS, read, read_all, write_back
from dmlbench.compute.replaced_names import names_now, replaced_since

_MOST_NAMES = 20


@contextmanager
def change_noted() -> Iterator[list[str]]:
    """Yield a list that afterwards names what was changed inside and not undone.

    Not everything can be put back, and not everything can be seen: a process in which a trial
    changed something should run no other.
    """
    changed: list[str] = []
    threads, children = set(threading.enumerate()), child_processes()
    settings, names = read_all(SETTINGS), names_now()
    try:
        yield changed
    finally:
        for one in replaced_since(names):
            changed.append(str(one))
            one.put_back()
        for setting, before in zip(SETTINGS, settings, strict=True):
            if read(setting) != before:
                changed.append(setting.name)
                write_back(setting, before)
        if _own_threads() - threads:
            changed.append("running threads")
        if child_processes() - children:
            changed.append("child processes")
        del changed[_MOST_NAMES:]


def _own_threads() -> set[threading.Thread]:
    """Return the threads of this process, but for those of libraries that go on by design."""
    return {
        thread
        for thread in threading.enumerate()
        if not isinstance(thread, threading._DummyThread)  # not started by Python: of autograd
        and type(thread).__module__.partition(".")[0] != "tqdm"  # its monitor
    }


def child_processes() -> frozenset[int]:
    """Return the ids of the processes below this one, without multiprocessing's own trackers."""
    if hasattr(os, "waitid"):  # quicker than to look at all processes of the machine
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return frozenset()
    return frozenset(
        child.pid for child in psutil.Process().children(recursive=True) if _goes_on(child)
    )


def _goes_on(process: psutil.Process) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return not any("resource_tracker" in word for word in process.cmdline())
    except psutil.Error:  # it ended meanwhile
        return False
