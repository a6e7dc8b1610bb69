"""How to cite the benchmark, as BibTeX, from the file ``CITATION.cff``."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def bibtex() -> str:
    """Return the entry; empty if the file is not there.

    It is part of the installed package, and in a checkout at the top of the repository.
    """
    package = files("dmlbench")
    places: list[Traversable] = [package / "CITATION.cff"]
    if isinstance(package, Path):
        places.append(package.parents[1] / "CITATION.cff")
    for place in places:
        if place.is_file():
            return _entry(yaml.safe_load(place.read_text(encoding="utf-8")))
    return ""


def _entry(citation: dict[str, Any]) -> str:
    """Return what a ``CITATION.cff`` says of software, or of the work that it prefers."""
    work = citation | citation.get("preferred-citation", {})
    released = str(work.get("date-released", ""))
    year, _, rest = released.partition("-")
    month = rest.partition("-")[0]
    fields = {
        "author": " and ".join(_author(one) for one in work["authors"]),
        "title": work["title"],
        "version": str(work.get("version", "")),
        "license": str(work.get("license", "")),
        "year": str(work.get("year", year)),
        "month": _MONTHS[int(month) - 1] if month else "",
        "doi": work.get("doi", ""),
        "url": work.get("url") or work.get("repository-code", ""),
    }
    lines = (f"  {name} = {{{value}}}," for name, value in fields.items() if value)
    return "\n".join(["@software{dmlbench,", *lines, "}"])


def _author(one: dict[str, str]) -> str:
    """Return an author; the name of a group is kept whole."""
    if name := one.get("name"):
        return f"{{{name}}}"
    names = (one.get("name-particle"), one.get("family-names"))
    family = " ".join(name for name in names if name)
    return ", ".join(name for name in (family, one.get("given-names")) if name)
