"""One process at a time: a lock that its owner's death releases."""

import fcntl
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dmlbench.errors import DataError


@contextmanager
def exclusive(path: Path, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file `path`, after waiting for whoever holds it; it is removed at the end.

    Args:
        path: of the file; it holds process id and host of its owner.
        on_wait: called with these if there is one to wait for.

    Raises:
        DataError: the file can't be written.
    """
    descriptor = _acquire(path, on_wait)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path, on_wait: Callable[[str], None]) -> int:
    """Return the descriptor of the locked file.

    A file that its last owner removed meanwhile is let go: others would lock a new one.
    """
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise DataError(
                f"Can't write to {path.parent}: {error.strerror}. Take another --data-dir."
            ) from error
        try:
            _lock(descriptor, on_wait)
            if _is_still(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, on_wait: Callable[[str], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait(os.pread(descriptor, 200, 0).decode(errors="replace").strip())
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        raise DataError(f"The data folder's file system has no locks: {error.strerror}.") from error


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
