"""Pictures of a table, drawn with matplotlib's own defaults whatever the user's settings are.

Texts become outlines, so that a picture looks the same everywhere; SVG because it stays sharp.
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dmlbench.leaderboard.curves import Curve, distance_curves
from dmlbench.leaderboard.escaping import plain
from dmlbench.leaderboard.metrics import display_name
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table

MOST_ROWS = 60
"""More rows than this are not drawn: the best are."""

# Okabe and Ito's colours, which stay apart for colour-blind readers.
_TRAINED, _BASELINE = "#0072B2", "#D55E00"
_INK, _PALE = "#333333", "#D0D0D0"
_STYLE = {
    "axes.edgecolor": _INK,
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.size": 9,
    "grid.color": "#E8E8E8",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "dmlbench",
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def ranking_svg(table: Table) -> str | None:
    """Return mean and interval of every row by the table's headline metric, or None without any."""
    groups = [rows for rows in (*table.lanes.values(), table.baselines) if rows]
    if table.headline is None or not groups:
        return None
    with _own_style():
        return _svg(_ranking(table, table.headline, groups))


def distances_svg(row: Row) -> str | None:
    """Return the curves of the mean distances of `row`, or None if it has fewer than two epochs."""
    curves = distance_curves(row)
    if not curves:
        return None
    with _own_style():
        return _svg(_distances(row, curves))


def _ranking(table: Table, metric: str, groups: Sequence[Sequence[Row]]) -> Figure:
    drawn = [row for rows in groups for row in rows[:MOST_ROWS]]
    places = _places(groups)
    figure = Figure(figsize=(8, 1.3 + 0.24 * (max(places) + 1)), layout="constrained")
    axes = figure.add_subplot()
    for place, row in zip(places, drawn, strict=True):
        value = row.metrics.get(metric)
        if value is not None:
            axes.errorbar(
                100 * value.mean,
                place,
                xerr=100 * (value.half_width or 0),
                fmt="D" if row.is_baseline else "o",
                markersize=5,
                capsize=3 if value.half_width else 0,
                color=_BASELINE if row.is_baseline else _TRAINED,
            )
    for floor in table.floors:
        if metric in floor.metrics:
            axes.axvline(100 * floor.metrics[metric].mean, color=_BASELINE, ls=(0, (4, 3)), lw=0.9)
    axes.set_yticks(places, [plain(row.label, 48) for row in drawn])
    axes.set_ylim(max(places) + 0.7, -0.7)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{display_name(metric)} in percent")
    axes.set_title(plain(table.title, 80), pad=22)
    axes.legend(
        handles=[
            Line2D([], [], color=_TRAINED, marker="o", ms=5, label="trained by a loss"),
            Line2D([], [], color=_BASELINE, marker="D", ms=5, label="baseline"),
            Line2D([], [], color=_BASELINE, ls=(0, (4, 3)), lw=0.9, label="floor"),
        ],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=3,
        borderaxespad=0.2,
        handletextpad=0.5,
    )
    return figure


def _places(groups: Sequence[Sequence[Row]]) -> list[float]:
    """Return the vertical place of each drawn row, with a gap between groups."""
    places: list[float] = []
    for rows in groups:
        start = places[-1] + 1.6 if places else 0.0
        places += [start + offset for offset in range(len(rows[:MOST_ROWS]))]
    return places


def _distances(row: Row, curves: Sequence[Curve]) -> Figure:
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for curve in curves:
        line = "-" if curve.split == "test" else (0, (4, 2))
        both = (("positive", curve.positive, _TRAINED), ("negative", curve.negative, _BASELINE))
        for name, values, colour in both:
            left.plot(curve.epochs, values, color=colour, ls=line, label=f"{name}, {curve.split}")
        right.plot(curve.epochs, curve.ratio, color=_INK, ls=line, label=curve.split)
    left.set_title("Mean cosine distance")
    right.set_title("Ratio positive / negative")
    for axes in (left, right):
        axes.set_xlabel("epoch (0: untrained)")
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.margins(x=0.02)
        axes.legend(title="classes" if axes is right else None)
    seeds = len(row.finished)
    figure.suptitle(
        f"{plain(row.label)}, {'mean over ' if seeds > 1 else ''}{seeds} seed{'s' * (seeds > 1)}",
        x=0.01,
        ha="left",
        fontsize=11,
    )
    return figure


@contextmanager
def _own_style() -> Iterator[None]:
    with mpl.style.context(["default", _STYLE]), warnings.catch_warnings():
        # A name in a script that matplotlib's font lacks is drawn with boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    metadata: dict[str, Any] = {"Date": None, "Creator": "dmlbench"}
    figure.savefig(buffer, format="svg", metadata=metadata)
    return buffer.getvalue()
