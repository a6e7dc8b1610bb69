"""Hashes of the files that a component's settings name."""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path

from dmlbench.errors import DataError
from dmlbench.reading import check_regular, open_regular


def file_hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """Return a hash of the content of each of `files`, under the same key.

    Raises:
        DataError: a file isn't there or can't be read.
    """
    found = {}
    for key, path in files.items():
        try:
            stat = check_regular(path)
            # Whoever writes a file can set its size and time of modification back, but not ctime.
            state = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            found[key] = _file_hash(path, state)
        except DataError as error:
            raise DataError(f"{key}: the file {error}") from error
    return found


@lru_cache
def _file_hash(path: Path, state: tuple[int, ...]) -> str:
    with open_regular(path) as file:
        return file_digest(file, "sha256").hexdigest()
