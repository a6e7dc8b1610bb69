"""Quantities on the command line: a number, and a unit if it is not the usual one."""

import re
from collections.abc import Mapping
from typing import Any

import click

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
MEBIBYTES = {"MiB": 1.0, "GiB": 1024.0, "MB": 1e6 / 2**20, "GB": 1e9 / 2**20}


class Quantity(click.ParamType):  # type: ignore[type-arg]  # click 8.1 takes none
    """A positive number with one of some units.

    Args:
        name: what it is a quantity of.
        units: the size of each unit.
        usual: the unit of a number without one.

    Example:
        >>> Quantity("time", SECONDS, "s").convert("1.5h", None, None)
        5400.0
    """

    def __init__(self, name: str, units: Mapping[str, float], usual: str) -> None:
        self.name, self.units, self.usual = name, units, usual

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return `value` in the unit of size 1."""
        found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([A-Za-z]*)", str(value).strip())
        if found is None or (found[2] or self.usual) not in self.units or not float(found[1]):
            self.fail(
                f"{value!r} is no {self.name}. Give a number above 0 in {self.usual}, or with one "
                f"of the units {', '.join(self.units)}.",
                param,
                ctx,
            )
        return float(found[1]) * self.units[found[2] or self.usual]
