"""How files that other people wrote are read: regular files, of bounded size, nesting and numbers.

A named pipe may never end, ``/dev/zero`` never does, and a parser that follows brackets inwards
fills the stack. Whatever is wrong is an error of ours, in one sentence.
"""

import json
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from dmlbench.errors import ConfigError, DataError, DmlbenchError

MOST_TEXT = 1 << 20
"""Largest text file that is read, in bytes; the largest TOML file that ships has 7,000."""

_MOST_NESTED = 64
_MOST_CHARACTERS = 10_000
_INT64 = range(-(1 << 63), 1 << 63)

_NESTED = f"it nests values more than {_MOST_NESTED} deep"
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_DEEP_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{_MOST_NESTED},}}")
"""A dotted key, which takes tomllib a time that grows with the square of its parts."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_regular(path: str | Path, error: type[DmlbenchError] = DataError) -> os.stat_result:
    """Return the facts of the regular file at `path`; links are followed.

    Raises:
        DmlbenchError: of the class `error`: there is none, or it is a folder, pipe or device.
    """
    with _refused(path, error):
        facts = os.stat(path)
    kind = _KINDS.get(stat.S_IFMT(facts.st_mode))
    if kind:
        raise error(f"{path} can't be read: it is {kind}, not a regular file.")
    return facts


def open_regular(path: Path, error: type[DmlbenchError] = DataError) -> BufferedReader:
    """Open the regular file at `path` for reading.

    Raises:
        DmlbenchError: see `check_regular`, or it may not be read.
    """
    check_regular(path, error)
    with _refused(path, error):
        return open(path, "rb", opener=_without_waiting)


def read_bytes(path: Path, most: int, error: type[DmlbenchError] = DataError) -> bytes:
    """Return the content of the regular file at `path`.

    Args:
        path: of the file.
        most: bytes that it may have.
        error: what to raise.

    Raises:
        DmlbenchError: see `open_regular`, or it has more bytes.

    Example:
        >>> read_bytes(Path("/dev/zero"), 100)
        Traceback (most recent call last):
        dmlbench.errors.DataError: /dev/zero can't be read: it is a device, not a regular file.
    """
    with open_regular(path, error) as file, _refused(path, error):
        size = os.fstat(file.fileno()).st_size
        content = file.read(size + 1) if size <= most else b""
        if len(content) > size:  # it grows, or is one of /proc, which say 0
            content += file.read(most + 1 - len(content))
    if max(size, len(content)) > most:
        raise error(f"{path} has {size:,} bytes, and at most {most:,} are read.")
    return content


def read_text(path: Path, most: int = MOST_TEXT, error: type[DmlbenchError] = DataError) -> str:
    """Return the text in the regular file at `path`, which is UTF-8; see `read_bytes`."""
    try:
        return read_bytes(path, most, error).decode()
    except UnicodeDecodeError as reason:
        raise error(f"{path} is not UTF-8 text: {reason}.") from reason


def parse_toml(text: str, where: object) -> dict[str, Any]:
    """Return the values in a TOML text; `where` names it in errors.

    Raises:
        ConfigError: it is not TOML, or its values are nested too deep, too long or too large.

    Example:
        >>> parse_toml("x = " + 100 * "[" + 100 * "]", "mine.toml")
        Traceback (most recent call last):
        dmlbench.errors.ConfigError: mine.toml can't be read: it nests values more than 64 deep.
    """
    try:
        if _DEEP_KEY.search(text):
            raise RecursionError
        values = tomllib.loads(text)
        _check_values(values, _MOST_CHARACTERS)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not a TOML file: {error}.") from error
    except RecursionError:
        raise ConfigError(f"{where} can't be read: {_NESTED}.") from None
    except ValueError as error:
        reason = str(error).partition(":")[0]
        raise ConfigError(f"{where} can't be read: {reason}.") from error
    return values


def parse_json(text: str | bytes) -> Any:
    """Return the value in a JSON text.

    Raises:
        ValueError: it is not JSON, or its values are nested too deep or too large.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_NESTED) from None
    _check_values(value, len(text))
    return value


def _check_values(value: Any, longest: int) -> None:
    """Refuse with a ValueError what other code can't be trusted to survive."""
    left = [(value, 0)]
    while left:
        value, depth = left.pop()
        if depth > _MOST_NESTED:
            raise ValueError(_NESTED)
        if isinstance(value, dict):
            left += ((key, depth) for key in value)
            left += ((inner, depth + 1) for inner in value.values())
        elif isinstance(value, list):
            left += ((inner, depth + 1) for inner in value)
        elif isinstance(value, str) and len(value) > longest:
            raise ValueError(f"a text in it has more than {longest:,} characters")
        elif isinstance(value, int) and value not in _INT64:
            raise ValueError("an integer in it has more than 64 bits")


def _without_waiting(path: str, flags: int) -> int:
    """Open a file that may have become a pipe since it was looked at."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


@contextmanager
def _refused(path: str | Path, error: type[DmlbenchError]) -> Iterator[None]:
    """Word what the operating system says of a file, and of a name that can't be one."""
    try:
        yield
    except OSError as reason:
        raise error(f"{path} can't be read: {reason.strerror or reason}.") from reason
    except ValueError as reason:  # a NUL, or half a surrogate pair
        raise error(f"{str(path)!r} can't be the name of a file: {reason}.") from reason
