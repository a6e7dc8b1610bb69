"""Damage to files, drawn by hypothesis: bytes changed, or values replaced in a valid document."""

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

_NUMBERS = (-1, 0, 1, 1 << 31, 1 << 63, -(1 << 63), 10**400, 0.0, -1.5, 1e308, True, None)
_TEXTS = (
    "",
    "x",
    "\0",
    "\x1b[31m",
    "../x",
    300 * "é",
    "nan",
    "all",
    "dmlbench:",
    "a:b",
    "./x.py:A",
)
_NESTED = ([], {}, [[]], [None], {"": 1}, {"a": {"b": []}}, 100 * [1])
ODD = st.one_of(
    st.sampled_from((*_NUMBERS, *_TEXTS, *_NESTED)),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=10),
)


@st.composite
def damaged_bytes(draw: st.DrawFn, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """One of the seeds, with one to four pieces replaced, taken out or put in."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 20))
        piece = draw(st.binary(max_size=4) | st.sampled_from([b"", *words]))
        content = content[:at] + piece + content[at + length :]
    return content


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value in a document, outer ones first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inner:
        yield (*place, key)
        if isinstance(one, dict | list):
            yield from _places(one, (*place, key))


@st.composite
def damaged_document(draw: st.DrawFn, documents: Sequence[Any]) -> Any:
    """One of the documents, with one to three values replaced, renamed or taken out."""
    document = json.loads(json.dumps(draw(st.sampled_from(documents))))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(document))
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        inside = document
        for key in way:
            inside = inside[key]
        what = draw(st.sampled_from(["replace", "replace", "rename", "remove"]))
        if what == "replace":
            inside[last] = deepcopy(draw(ODD))  # a later change may be inside it
        elif what == "rename" and isinstance(inside, dict):
            inside[draw(st.text(max_size=5) | st.just("x"))] = inside.pop(last)
        else:
            del inside[last]
    return document


def as_toml(value: Any) -> str:
    """Return a value as TOML writes it in one line; None, which it lacks, as a text."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)} = {as_toml(one)}" for key, one in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return json.dumps("None" if value is None else value)
