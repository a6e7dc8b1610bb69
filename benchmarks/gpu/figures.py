"""What a part of the GPU hour found: figures, each beside its goal."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from tabulate import tabulate

MARKS = {True: "yes", False: "NO", None: ""}


@dataclass(frozen=True)
class Figure:
    """One line of the summary.

    Attributes:
        name: what was measured.
        value: as measured, a number with its unit or a text.
        goal: what it should be; "" if there is none.
        reached: whether it is; None if there is no goal, or this machine can't tell.
    """

    name: str
    value: str
    goal: str = ""
    reached: bool | None = None


def summary(results: dict[str, list[dict[str, object]]]) -> str:
    """Return the table of all parts' figures, as `as_json` keeps them."""
    rows = [
        (part, each["name"], each["value"], each["goal"], MARKS[each["reached"]])
        for part, figures in results.items()
        for each in figures
    ]
    header = ("part", "figure", "measured", "goal", "reached")
    return tabulate(rows, header, tablefmt="github", disable_numparse=True)


def as_json(figures: Iterable[Figure]) -> list[dict[str, object]]:
    """Return figures as JSON has them."""
    return [asdict(each) for each in figures]
