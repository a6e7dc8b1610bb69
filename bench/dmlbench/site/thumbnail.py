"""A table as a small picture: a dot for each trained row, by rank and mean."""

from dataclasses import dataclass

from dmlbench.leaderboard.formats.figures import written
from dmlbench.leaderboard.ranking import BEST
from dmlbench.leaderboard.tables import Table

WIDTH, HEIGHT = 240, 64
_EDGE = 5


@dataclass(frozen=True)
class Thumbnail:
    """Paths of an SVG picture of `WIDTH` by `HEIGHT`, whose dots are round caps."""

    best: str
    """Dots of the rows that can't be told from the best."""
    others: str
    floors: str
    """A line for each baseline that is to be beaten."""


def thumbnail(table: Table) -> Thumbnail | None:
    """Return the picture of a table's trained rows; None if fewer than two have a mean."""
    metric = table.headline or ""
    rows = [row for row in table.trained if metric in row.metrics]
    means = [written(row.metrics[metric].mean) for row in rows]
    floors = [written(f.metrics[metric].mean) for f in table.floors if metric in f.metrics]
    least, most = min([*means, *floors], default=0.0), max([*means, *floors], default=0.0)
    if len(rows) < 2 or least == most:
        return None

    def x(place: int) -> int:
        return round(_EDGE + (WIDTH - 2 * _EDGE) * place / (len(rows) - 1))

    def y(mean: float) -> int:
        return round(HEIGHT - _EDGE - (HEIGHT - 2 * _EDGE) * (mean - least) / (most - least))

    dots: dict[bool, list[str]] = {True: [], False: []}
    for place, (row, mean) in enumerate(zip(rows, means, strict=True)):
        ranking = table.ranking_of(row)
        best = ranking is not None and ranking.group(row) == BEST
        dots[best].append(f"M{x(place)} {y(mean)}h0")
    lines = "".join(f"M0 {y(floor)}H{WIDTH}" for floor in floors)
    return Thumbnail("".join(dots[True]), "".join(dots[False]), lines)
