"""Label files of image sets: text lines and MATLAB arrays. Anything unexpected is an error."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from dmlbench import DataError

_READ_MATLAB = """
import json, sys
from scipy.io import loadmat
path, variable = sys.argv[1:]
array = loadmat(path, squeeze_me=True, variable_names=[variable])[variable]
columns = {name: array[name] for name in array.dtype.names or ()} or {"": array}
plain = lambda value: value.item() if getattr(value, "size", 0) == 1 else str(value)
values = {name: column.reshape(-1).tolist() for name, column in columns.items()}
json.dump(values, sys.stdout, default=plain)
"""


def read_rows(
    path: Path, columns: str, *, header: Sequence[str] = ()
) -> Iterator[tuple[str, list[str]]]:
    """Yield the place of each line, for errors, and its fields; blank lines are skipped.

    Args:
        path: the file.
        columns: names of the columns, separated by blanks; the last field may contain blanks.
        header: regular expressions for the first lines, in which runs of blanks count as one.

    Raises:
        DataError: the file can't be read, is not UTF-8, has another header, or a line has too few
            fields.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"Can't read {path}: {error}. Put the official file in its place."
        ) from error
    for number, expected in enumerate(header):
        found = " ".join(lines[number].split()) if number < len(lines) else ""
        if not re.fullmatch(expected, found):
            raise DataError(
                f"{path}, line {number + 1}: expected the header '{expected}', found {found!r}. "
                "Put the official file in its place."
            )
    count = len(columns.split())
    for number, line in enumerate(lines[len(header) :], start=len(header) + 1):
        fields = line.split(maxsplit=count - 1)
        if fields and len(fields) < count:
            raise DataError(f"{path}, line {number}: expected '{columns}', found {line!r}.")
        if fields:
            yield f"{path}, line {number}", [field.strip() for field in fields]


def as_number(value: Any, where: str) -> int:
    """Return a whole number of 1 or more, from text or out of an array.

    >>> as_number("12", "line 1"), as_number(12.0, "line 1")
    (12, 12)

    Raises:
        DataError: it is not one; `where` says where it was found.
    """
    if isinstance(value, str):
        number = int(value) if re.fullmatch("[0-9]{1,18}", value) else 0
    else:
        is_whole = isinstance(value, Real) and value % 1 == 0
        number = int(value) if is_whole else 0
    if number < 1:
        raise DataError(f"{where}: {str(value)!r} is no whole number of 1 or more.")
    return number


def inside(path: str, where: str) -> str:
    """Return `path` of an image within its set's folder, checked not to lead outside.

    Raises:
        DataError: it is absolute or goes up; `where` says where it was found.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or "\0" in path or not parts:
        raise DataError(f"{where}: {path!r} is no path within the set's folder.")
    return "/".join(parts)


def read_matlab(path: Path, variable: str) -> Any:
    """Return an array of objects ``[N]`` from a ``.mat`` file; no code in it is run.

    SciPy's reader can crash on a damaged file, so a child process reads it, and hands it on as
    JSON.

    Raises:
        DataError: the file can't be read, or has no such variable.
    """
    command = [sys.executable, "-P", "-c", _READ_MATLAB, str(path), variable]
    child = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if child.returncode:
        said = child.stderr.strip().rpartition("\n")[2]
        reason = said if child.returncode > 0 else f"its reader died of signal {-child.returncode}"
        raise DataError(
            f"Can't read {variable!r} from {path}: {reason.removesuffix('.')}. Put the official "
            "file in its place."
        )
    columns = json.loads(child.stdout)
    if list(columns) == [""]:
        return _objects(columns[""])
    table = np.empty(len(next(iter(columns.values()))), [(name, object) for name in columns])
    for name, values in columns.items():
        table[name] = _objects(values)
    return table


def _objects(values: list[Any]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def read_matlab_columns(path: Path, *fields: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield the place of each row of a file's ``annotations``, for errors, and its `fields`.

    Raises:
        DataError: the file can't be read, or has no such fields.
    """
    table = read_matlab(path, "annotations")
    lacking = set(fields) - set(table.dtype.names or ())
    if lacking:
        raise DataError(f"{path} has no field {', '.join(sorted(lacking))}. Is it the right file?")
    columns = [table[field].reshape(-1).tolist() for field in fields]
    for number, row in enumerate(zip(*columns, strict=True), start=1):
        yield f"{path}, annotation {number}", list(row)
