"""Write a file whole or not at all."""

import os
import re
from pathlib import Path

from dmlbench.errors import ConfigError
from dmlbench.storage.owners import Owner

TEMPORARY = ".tmp"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write `content` to `path`: whatever happens, the file is never half written."""
    temporary = path.parent / f".{Owner.new()}{TEMPORARY}"
    try:
        with open(temporary, "xb") as file:  # with the permissions that umask leaves
            file.write(content if isinstance(content, bytes) else content.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_asked(path: Path, content: str | bytes, option: str) -> Path:
    """Write `content` to `path`, in a folder that the user chose with `option`; return the path.

    A file that has this content already is left alone.

    Raises:
        ConfigError: it can't be written.
    """
    new = content if isinstance(content, bytes) else content.encode()
    try:
        if path.is_file() and path.read_bytes() == new:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, new)
    except OSError as error:
        raise ConfigError(
            f"{path} can't be written: {error.strerror or error}. "
            f"Choose another folder with {option}, or free some space."
        ) from error
    return path


def slug(text: str) -> str:
    """Return `text` as the name of a file or folder.

    >>> slug("triplet(margin=0.2) + xbm")
    'triplet-margin=0.2-+-xbm'
    """
    return re.sub(r"[^A-Za-z0-9.=_+-]+", "-", text).strip("-.")[:80] or "unnamed"
