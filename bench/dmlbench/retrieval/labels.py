"""Labels as callers pass them: integers or texts in any kind of array, compared exactly.

Booleans count as 0 and 1, and bytes as UTF-8 text. Floats are taken only where they can't have been
rounded: integers below the first one that their type can't tell from the next (2^53 in float64).
1 and "1" are not compared: where one set has integers and the other has texts, both are refused.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np

from dmlbench.errors import DataError

if TYPE_CHECKING:
    from dmlbench.retrieval.inputs import Labels

_INT64 = np.iinfo(np.int64)
_EMPTY = frozenset({"NoneType", "NAType", "NaTType"})
_CONVERT = "Convert them to integers or texts, for example with .astype(str)."


@dataclass(frozen=True)
class Classes:
    """Checked labels, as they were given."""

    name: str
    """What error messages call them."""
    kind: Literal["integers", "texts"]
    values: np.ndarray
    """``[N]``: int64, Python integers if some do not fit, or texts."""

    def __str__(self) -> str:
        return f"{self.name} are {self.kind} (such as {self.values.tolist()[0]!r})"


def read_labels(labels: "Labels", length: int, name: str) -> np.ndarray:
    """Return `labels` as int64 ``[length]``: integers that fit as they are, others numbered.

    Raises:
        DataError: see `read_classes`.
    """
    return numbered(read_classes(labels, length, name))[0]


def read_classes(labels: "Labels", length: int, name: str) -> Classes:
    """Check and return one label for each of `length` rows.

    Args:
        labels: an array, tensor, series or list of integers, booleans, texts, or floats that are
            exact integers ``[length]``.
        length: how many there must be.
        name: what error messages call them.

    Raises:
        DataError: there is not exactly one per row, or one is empty, of another type, of another
            type than the rest, or a float that may have been rounded.

    Example:
        >>> read_classes([2.0, 1.0], 2, "labels").values
        array([2, 1])
        >>> read_classes(["cat", "dog"], 2, "labels").kind
        'texts'
    """
    values = _as_array(labels, name)
    if values.shape != (length,):
        raise DataError(
            f"{name} must have one entry for each of the {length} rows; "
            f"its shape is {list(values.shape)}."
        )
    kind = values.dtype.kind
    if kind in "biu":
        return Classes(name, "integers", _integers(values))
    if kind == "f":
        return Classes(name, "integers", _exact_integers(values, name))
    if kind == "U":
        return Classes(name, "texts", values)
    if kind in "OST":
        return _read_objects(values.tolist(), name)
    raise DataError(f"{name} must be integers or texts, not {values.dtype}. {_CONVERT}")


def numbered(*sets: Classes) -> list[np.ndarray]:
    """Return the labels of each set as int64 ``[N]``, the same number for the same label.

    Raises:
        DataError: some sets have integers, others texts.

    Example:
        >>> gallery = read_classes(["b"], 1, "gallery_labels")
        >>> numbered(read_classes(["b", "a"], 2, "labels"), gallery)
        [array([1, 0]), array([1])]
    """
    for other in sets[1:]:
        if other.kind != sets[0].kind:
            raise DataError(
                f"{sets[0]}, {other}: they can't be compared. Convert one of them, "
                "for example with .astype(str)."
            )
    if all(one.values.dtype == np.int64 for one in sets):
        return [one.values for one in sets]
    numbers = np.unique(np.concatenate([one.values for one in sets]), return_inverse=True)[1]
    return np.split(numbers, np.cumsum([len(one.values) for one in sets[:-1]]))


def _as_array(labels: Any, name: str) -> np.ndarray:
    """Return labels as an array; a list's entries keep their types."""
    if hasattr(labels, "detach"):
        tensor = labels.detach().cpu()
        if tensor.is_floating_point() and tensor.dtype.itemsize < 4:  # NumPy lacks bfloat16
            raise DataError(f"{name} must be integers or texts, not {tensor.dtype}: use .long().")
        return np.asarray(tensor.numpy())
    if np.ma.is_masked(labels):
        _refuse_empty(int(np.argmax(np.ma.getmaskarray(labels))), name)
    try:
        return np.asarray(labels, dtype=object if isinstance(labels, list | tuple) else None)
    except ValueError as error:
        raise DataError(f"{name} can't be read as an array: {error}.") from error


def _integers(values: np.ndarray) -> np.ndarray:
    """Return integers ``[N]`` as int64, or as Python integers if some do not fit."""
    if len(values) and not _INT64.min <= values.min() <= values.max() <= _INT64.max:
        return values.astype(object)
    return values.astype(np.int64, copy=False)


def _exact_integers(values: np.ndarray, name: str) -> np.ndarray:
    """Return floats ``[N]`` as int64.

    Raises:
        DataError: one is no integer, or may have been rounded to one.
    """
    wrong = (values != np.rint(values)) | (np.abs(values) >= _first_rounded(values.dtype.type))
    if wrong.any():
        row = int(np.argmax(wrong))
        _refuse_float(values[row], row, name)
    return values.astype(np.int64)


def _first_rounded(of_type: type) -> float:
    """Return the integer from which on a float type can't tell each from the next."""
    return 2 / float(np.finfo(of_type).eps)


def _read_objects(values: list[Any], name: str) -> Classes:
    """Return labels of which each has its own type."""
    plain = [_read_object(value, row, name) for row, value in enumerate(values)]
    texts = [isinstance(value, str) for value in plain]
    if any(texts) and not all(texts):
        text, integer = texts.index(True), texts.index(False)
        raise DataError(
            f"{name} mix integers and texts: {plain[integer]} in row {integer}, {plain[text]!r} "
            f"in row {text}. {_CONVERT}"
        )
    array = np.empty(len(plain), object)
    array[:] = plain
    return (
        Classes(name, "texts", array) if any(texts) else Classes(name, "integers", _integers(array))
    )


def _read_object(value: Any, row: int, name: str) -> int | str:
    if hasattr(value, "detach"):  # a tensor in a list
        value = value.item()
    if isinstance(value, int | np.integer | np.bool_):
        return int(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{name} have bytes that are no UTF-8 text in row {row}.") from error
    if type(value).__name__ in _EMPTY:
        _refuse_empty(row, name)
    if isinstance(value, float | np.floating):
        value = value if isinstance(value, np.floating) else np.float64(value)
        if value != np.rint(value) or abs(value) >= _first_rounded(type(value)):
            _refuse_float(value, row, name)
        return int(value)
    raise DataError(
        f"{name} must be integers or texts, not {type(value).__name__}, first in row {row}. "
        f"{_CONVERT}"
    )


def _refuse_empty(row: int, name: str) -> NoReturn:
    raise DataError(f"{name} have an empty entry, first in row {row}.")


def _refuse_float(value: Any, row: int, name: str) -> NoReturn:
    if np.isnan(value):
        _refuse_empty(row, name)
    if value != np.rint(value) or np.isinf(value):
        raise DataError(f"{name} must be integers or texts; row {row} has {value}. {_CONVERT}")
    raise DataError(
        f"{name} are floats, and {value:.17g} in row {row} may have been rounded: from "
        f"{_first_rounded(type(value)):.0f} on, such floats can't hold every integer. Give the "
        "labels as integers or texts, from where they were first read."
    )
