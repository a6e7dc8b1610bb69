"""The index of all tables, in GitHub's markdown."""

from collections.abc import Iterable, Sequence

from dmlbench.counted import counted
from dmlbench.leaderboard.formats.escaping import markdown, plain
from dmlbench.leaderboard.formats.markdown import MADE, READING
from dmlbench.leaderboard.formats.markdown_tables import pipe_table
from dmlbench.leaderboard.metric_names import display_name, percent
from dmlbench.leaderboard.ranking import BEST
from dmlbench.leaderboard.ranking_cells import NOTHING
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table

_Pages = Sequence[tuple[str, Table]]

_HEADINGS = (
    "Dataset",
    "Protocol",
    "Highest mean",
    "Row",
    "Can't be told from the best",
    "Neighbours alike",
)
_COLUMNS = (
    "*Can't be told from the best*: of how many rows, by a model confidence set. *Neighbours "
    "alike*: of the pairs of rows next to each other in the order of the means, those that the "
    "paired t-test can't tell apart."
)


def index(pages: _Pages, grids: Iterable[str] = (), ranked: str = "") -> str:
    """Return the index of all tables, a line for each backbone.

    Args:
        pages: path of each page, from the index's folder, and its table.
        grids: paths of the pages that hold the rows of several samplers side by side.
        ranked: path of the page of ranks across datasets, if there is one.
    """
    whole = [(path, table) for path, table in pages if not table.partial]
    telling = [(path, table) for path, table in whole if table.ranks_losses]
    sections = {
        "Sets that can rank losses": telling,
        "Sets that can't: a floor is not beaten": [each for each in whole if each not in telling],
        "Partial data: rows compare within a table only": [p for p in pages if p[1].partial],
    }
    parts = [
        MADE,
        "# Leaderboards",
        f"Each table is made from the records of its trials alone. {_alike(telling)}".strip(),
    ]
    for heading, some in sections.items():
        if some:
            lines = [line for path, table in some for line in _lines(path, table)]
            parts += [f"## {heading}", pipe_table(_HEADINGS, lines)]
    parts += [f"{READING} {_COLUMNS}", _failed(pages)]
    links = ", ".join(f"[{markdown(path.partition('/')[0])}]({path})" for path in grids)
    if links:
        parts.append(f"Rows of different samplers side by side: {links}.")
    if ranked:
        parts.append(f"Rows that several datasets have in common, ranked: [across]({ranked}).")
    return "\n\n".join(part for part in parts if part) + "\n"


def _alike(pages: _Pages) -> str:
    """Return how many neighbours of all tables that rank losses can't be told apart."""
    found = [ranking.neighbours for _, table in pages for ranking in table.rankings.values()]
    pairs = sum(one.pairs for one in found if one)
    alike = sum(one.alike for one in found if one)
    if not pairs:
        return ""
    return (
        f"In those that can rank losses, {alike:,} of {counted(pairs, 'pair')} of neighbours can't "
        "be told apart."
    )


def _lines(path: str, table: Table) -> list[list[str]]:
    partial = " · PARTIAL DATA" if table.partial else ""
    link = f"[{markdown(plain(str(table.dataset)))}{partial}]({path})"
    lines = []
    for backbone, rows in (table.lanes or {"": []}).items():
        several = f", {backbone}" if len(table.lanes) > 1 else ""
        cells = [plain(table.protocol.name) + several, *_highest(table, backbone, rows)]
        lines.append([link, *(markdown(plain(cell)) or NOTHING for cell in cells)])
    return lines


def _highest(table: Table, backbone: str, rows: Sequence[Row]) -> list[str]:
    """Return the highest mean, its row, and how many rows can't be told from it or each other."""
    if not rows or not table.headline:
        return [""] * 4
    ranking = table.rankings[backbone]
    if ranking.unfit:
        return ["", "cannot rank losses: the best baseline is not beaten", "", ""]
    mean = f"{display_name(table.headline)} {percent(rows[0].metrics.get(table.headline))}"
    if not ranking.decided:
        return [mean, rows[0].label, "", ""]
    kept, beside = list(ranking.groups.values()).count(BEST), ranking.neighbours
    alike = f"{beside.alike} of {beside.pairs}" if beside else ""
    return [mean, rows[0].label, f"{kept} of {len(ranking.behind)}", alike]


def _failed(pages: _Pages) -> str:
    found = []
    for path, table in pages:
        if failed := sum(len(row.failed) for row in table.rows):
            title = markdown(f"{plain(str(table.dataset))}, {plain(table.protocol.name)}")
            found.append(f"{failed} of {counted(len(table.records), 'trial')} of [{title}]({path})")
    return f"Failed: {'; '.join(found)}." if found else ""
