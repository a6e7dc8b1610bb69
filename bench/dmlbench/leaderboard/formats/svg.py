"""Pictures of a table, drawn with matplotlib's defaults, whatever the user's settings.

Texts become outlines, so that a picture looks the same everywhere; SVG because it stays sharp.
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from math import nan
from typing import Any

import matplotlib as mpl
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

from dmlbench.leaderboard.distance_curves import Curve, distance_curves
from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.leaderboard.formats.figures import written
from dmlbench.leaderboard.metric_names import display_name
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table

MOST_ROWS = 50
"""At most this many rows are drawn, the best ones."""

_WIDTH = 8.0

CREATOR = "dmlbench, drawn by Matplotlib "
"""Metadata before matplotlib's version: other versions draw other bytes."""

# Okabe and Ito's colours, which colour-blind readers can distinguish.
_BLUE, _VERMILLION, _INK = "#0072B2", "#D55E00", "#333333"
_POSITIVE, _NEGATIVE = _BLUE, _VERMILLION
_TRAINED: dict[str, Any] = {"color": _BLUE, "marker": "o", "ms": 5}
_BASELINE: dict[str, Any] = {"color": _VERMILLION, "marker": "D", "ms": 5}
_FLOOR: dict[str, Any] = {"color": _VERMILLION, "ls": (0, (4, 3)), "lw": 0.9}
_LABEL: dict[str, Any] = {"ha": "right", "va": "center"}
_LANE: dict[str, Any] = {"ha": "right", "va": "center", "style": "italic"}
_LINES: dict[str, Any] = {"train": (0, (4, 2)), "test": "-"}
_STYLE = {
    "axes.edgecolor": _INK,
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titley": 1.0,  # otherwise every tick label is measured to place it
    "font.size": 9,
    "grid.color": "#E8E8E8",
    "grid.linewidth": 0.8,
    "legend.borderaxespad": 0.2,
    "legend.frameon": False,
    "legend.handletextpad": 0.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "dmlbench",
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def ranking_svg(table: Table) -> str | None:
    """Return every row's mean and interval of the headline metric; None if there are none."""
    if table.headline is None:
        return None
    with _own_style():
        return _svg(_ranking(table, table.headline))


def distances_svg(row: Row) -> str | None:
    """Return the curves of the mean distances of `row`, or None if it has fewer than two epochs."""
    curves = distance_curves(row)
    if not curves:
        return None
    with _own_style():
        return _svg(_distances(row, curves))


def _ranking(table: Table, metric: str) -> Figure:
    ranked = [
        (name, [row for row in rows if metric in row.metrics][:MOST_ROWS])
        for name, rows in (*table.lanes.items(), ("baselines", table.baselines))
    ]
    names, groups = zip(*((name, rows) for name, rows in ranked if rows), strict=True)
    places = _places(groups)
    bottom = places[-1][-1]
    labels = [plain(row.label, 48) for rows in groups for row in rows]
    height = 1.4 + 0.24 * (bottom + 1)
    figure = Figure(figsize=(_WIDTH, height))
    axes = _axes(figure, left=0.15 + max(map(_inches, labels)), right=0.15)
    for rows, heights in zip(groups, places, strict=True):
        values = [row.metrics[metric] for row in rows]
        axes.errorbar(
            [100 * written(value.mean) for value in values],
            heights,
            xerr=[100 * written(value.half_width or nan) for value in values],
            capsize=3,
            ls="",
            **(_BASELINE if rows[0].is_baseline else _TRAINED),
        )
    for floor in table.floors:
        if metric in floor.metrics:
            axes.axvline(100 * written(floor.metrics[metric].mean), **_FLOOR)
    axes.set_yticks([])
    axes.set_ylim(bottom + 0.7, -0.7)
    across = axes.get_yaxis_transform()
    for label, height in zip(labels, chain.from_iterable(places), strict=True):
        axes.text(0, height, f"{label}  ", transform=across, **_LABEL)  # ticks are slow
    cut = f" (the {MOST_ROWS} best of a group)" if MOST_ROWS in map(len, groups) else ""
    axes.set_xlabel(f"{display_name(metric)} in percent{cut}")
    _title(figure, f"{plain(table.title, 48)}: mean and 95 % interval over seeds")
    _legend(figure, _marks(table))
    if len(table.lanes) > 1:
        for name, heights in zip(names, places, strict=True):
            axes.text(0.995, heights[0] - 0.75, plain(name), transform=across, **_LANE)
    return figure


def _marks(table: Table) -> list[Line2D]:
    """Return what the legend of a ranking explains."""
    handles = [Line2D([], [], **_TRAINED, label="trained by a loss")] if table.trained else []
    if table.baselines:
        handles.append(Line2D([], [], **_BASELINE, label="baseline"))
    if table.floors:
        floors = plain(", ".join(row.label for row in table.floors), 35)
        handles.append(Line2D([], [], **_FLOOR, label=f"to be beaten: {floors}"))
    return handles


def _places(groups: Sequence[Sequence[Row]]) -> list[list[float]]:
    """Return the vertical positions of each group's rows, with a gap between groups."""
    starts = [sum(map(len, groups[:place])) + 0.8 * place for place in range(len(groups))]
    return [
        [start + offset for offset in range(len(rows))]
        for start, rows in zip(starts, groups, strict=True)
    ]


def _distances(row: Row, curves: Sequence[Curve]) -> Figure:
    figure = Figure(figsize=(_WIDTH, 3.4))
    left = _axes(figure, left=0.45, right=0.15 + _WIDTH / 2, top=0.7)
    right = _axes(figure, left=0.45 + _WIDTH / 2, right=0.15, top=0.7)
    for curve in curves:
        line = _LINES[curve.split]
        left.plot(curve.epochs, curve.positive, color=_POSITIVE, ls=line)
        left.plot(curve.epochs, curve.negative, color=_NEGATIVE, ls=line)
        right.plot(curve.epochs, curve.ratio, color=_INK, ls=line)
    left.set_title("Mean cosine distance")
    right.set_title("Ratio positive / negative")
    for axes in (left, right):
        axes.set_xlabel("epoch (0: untrained)")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.02)
    handles = [
        Line2D([], [], color=_POSITIVE, label="positive pairs"),
        Line2D([], [], color=_NEGATIVE, label="negative pairs"),
        *(
            Line2D([], [], color=_INK, ls=_LINES[curve.split], label=f"{curve.split} classes")
            for curve in curves
        ),
    ]
    _legend(figure, handles)
    seeds = len(row.finished)
    over = f"mean over {seeds} seeds" if seeds > 1 else "one seed"
    _title(figure, f"{plain(row.label, 55)}, {over}")
    return figure


def _axes(figure: Figure, *, left: float, right: float, top: float = 0.4) -> Axes:
    """Return axes with margins in inches: a layout engine would take half of the time."""
    width, height = figure.get_size_inches()
    bottom = 0.85
    corner = (left / width, bottom / height)
    return figure.add_axes((*corner, 1 - (left + right) / width, 1 - (top + bottom) / height))


def _inches(text: str) -> float:
    """Return how wide a text is beside the axes."""
    font = FontProperties(size=mpl.rcParams["font.size"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / 72


def _title(figure: Figure, text: str) -> None:
    above = 1 - 0.08 / figure.get_figheight()
    figure.suptitle(text, x=0.01, y=above, ha="left", size=11, weight="bold")


def _legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    figure.legend(handles=handles, loc="lower center", ncols=len(handles))


@contextmanager
def _own_style() -> Iterator[None]:
    with mpl.style.context(["default", _STYLE]), warnings.catch_warnings():
        # Characters that matplotlib's font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    metadata: dict[str, Any] = {"Date": None, "Creator": CREATOR + mpl.__version__}
    figure.savefig(buffer, format="svg", metadata=metadata)
    return buffer.getvalue()
