"""One process at a time: a lock that is released even if its owner is killed."""

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dmlbench.errors import DataError


@contextmanager
def exclusive(path: Path, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file `path`, waiting for its owner if it has one; remove it at the end.

    Args:
        path: the lock file. It names its owner: process id and host.
        on_wait: called with that name before waiting.

    Raises:
        DataError: the file can't be written or locked.
    """
    from filelock import FileLock, Timeout

    # A soft lock is its file's existence: it would outlive an owner that is killed.
    lock = FileLock(path, fallback_to_soft=False, preserve_lock_file=True)
    try:
        path.parent.stat()  # filelock would create the folder
        lock.acquire(blocking=False)
    except Timeout:
        on_wait(_owner(path))
        lock.acquire()
    except OSError as error:
        raise DataError(
            f"Can't lock {path.parent}: {error.strerror}. Choose another folder with --data-dir."
        ) from error
    try:
        path.write_text(f"process {os.getpid()} on {platform.node()}\n")
        yield
    finally:
        path.unlink(missing_ok=True)  # after the release, the file may be the next owner's
        lock.release()


def _owner(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except FileNotFoundError:  # released in the meantime
        return ""
