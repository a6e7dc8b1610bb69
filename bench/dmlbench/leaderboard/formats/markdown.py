"""The page of a table, and the index of all, in GitHub's markdown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tabulate import tabulate

from dmlbench.leaderboard.commands import table_command
from dmlbench.leaderboard.formats.escaping import REASON_LENGTH, code_block, markdown, plain
from dmlbench.leaderboard.loss_grid import Grid, by_miner
from dmlbench.leaderboard.metric_names import display_name, percent
from dmlbench.leaderboard.protocol_facts import protocol_facts, provenance
from dmlbench.leaderboard.ranking import Ranking
from dmlbench.leaderboard.ranking_cells import NOTHING, ranking_cells
from dmlbench.leaderboard.reported import reported_cells
from dmlbench.leaderboard.row_details import row_details
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.record import Record

MADE = "<!-- Made by `dmlbench publish` from records; what is changed by hand is lost. -->"

_PARTIAL = (
    "> **Partial data: NOT comparable with published figures.** Only a part of the dataset was at "
    "hand. With fewer classes and items to search among, every figure is another one; rows of this "
    "table compare with each other alone."
)
_READING = (
    "Mean ± half of the Student-t 95 % interval over the finished seeds, in percent; one seed has "
    "no interval. Rows stand in the order of their means; the order alone is no claim that one "
    "row is better than another."
)
_BELOW = (
    "*Below* names what a trained network must beat and did not, and on which metric the mean is "
    "lower. Collapsed seeds, whose test embeddings are all alike at the epoch that counts or at "
    "the last, count in the mean; failed ones have no figures and are listed."
)
_OVER = (
    "*Over* a row that must be beaten: the mean difference seed by seed, with the 95 % interval of "
    "the paired t-test for this row by itself, in percent points."
)


@dataclass(frozen=True)
class PageImages:
    """File names of the pictures beside a page; None where there is nothing to draw."""

    ranking: str | None = None
    distances: str | None = None
    distances_row: str = ""
    """Label of the row whose distances are drawn."""


def markdown_page(table: Table, name: str, pictures: PageImages) -> str:
    """Return the page of `table`; the files beside it are called `name` plus a suffix."""
    parts = [
        MADE,
        f"# {markdown(table.title)}",
        f"[All leaderboards](../README.md) · As fractions of 1, to six digits: [CSV]({name}.csv), "
        f"[JSON]({name}.json) · For a paper: [LaTeX]({name}.tex)",
        markdown(plain(table.protocol.description, REASON_LENGTH)),
        _PARTIAL if table.partial else "",
        _bullets(protocol_facts(table)),
        *(f"> **Note.** {markdown(note)}" for note in table.notes),
    ]
    if pictures.ranking and table.headline:
        metric = display_name(table.headline)
        parts.append(f"![{metric} of every row with its 95 % interval]({pictures.ranking})")
    parts += [*_rankings(table), *_reported(table)]
    grid = by_miner(table)
    if grid and table.headline:
        parts += ["## Loss by miner", *grid_section(grid, table.headline)]
    if pictures.distances:
        parts += _distances(pictures)
    parts += ["## How the rows were made", _details(table)]
    if table.floors and table.trained:
        parts.append(_OVER)
    if any(row.failed for row in table.rows):
        parts += ["## Failed trials", _failures(table)]
    parts += [
        "## Do it again",
        "Everything that is installed, with the same data, protocol and seeds (the command of each "
        f"single row is in [the CSV file]({name}.csv)):",
        code_block(table_command(table)),
        _bullets(provenance(table)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def samplers_page(grid: Grid, pages: Sequence[tuple[str, Table]]) -> str:
    """Return the page that shows rows of several samplers side by side, without ranking them.

    Args:
        grid: rows by sampler.
        pages: file name of each sampler's page, in the same folder, and its table.
    """
    table = pages[0][1]
    links = [f"[{markdown(plain(each.protocol.sampler))}]({name})" for name, each in pages]
    parts = [
        MADE,
        f"# {markdown(plain(str(table.dataset)))} · samplers",
        f"[All leaderboards](../README.md) · Each sampler's own table: {', '.join(links)}",
        "Rows of different samplers are never ranked together. Here the same losses stand side by "
        "side, so that a gain can be given to the part that made it. *paper* is the sampler of "
        "each loss's own source.",
        *grid_section(grid, table.headline or ""),
    ]
    return "\n\n".join(parts) + "\n"


def grid_section(grid: Grid, metric: str) -> list[str]:
    """Return a grid as a table, and which factors explain its differences."""
    lines = [
        [markdown(loss), *(percent(grid.cells[loss, part]) for part in grid.parts)]
        for loss in grid.losses
    ]
    headings = [display_name(metric), *(markdown(plain(part)) for part in grid.parts)]
    parts = [
        f"{display_name(metric)} in percent, mean ± half of the 95 % interval, of every loss with "
        f"every {grid.kind} that all of them met; both ordered by their means.",
        pipe_table(headings, lines, range(1, len(headings))),
    ]
    if grid.shares:
        shares = ", ".join(f"{100 * share:.0f} % {name}" for name, share in grid.shares.items())
        parts.append(
            f"What the differences between these trials go with (two-way analysis of variance, "
            f"shares of the sum of squares): {shares}."
        )
    return parts


def index(pages: Sequence[tuple[str, Table]], grids: Iterable[str] = (), ranked: str = "") -> str:
    """Return the index of all tables, a line for each backbone.

    Args:
        pages: path of each page, from the index's folder, and its table.
        grids: paths of the pages that hold the rows of several samplers side by side.
        ranked: path of the page of ranks across datasets, if there is one.
    """
    headings = ["Dataset", "Data", "Protocol", "Backbone", "Highest mean", "", "Rows"]
    lines = []
    for path, table in pages:
        failed = sum(len(row.failed) for row in table.rows)
        trials = f"{len(table.records)}" + (f", {failed} failed" if failed else "")
        for backbone, rows in (table.lanes or {"": []}).items():
            cells = [
                table.fingerprint[:8],
                plain(table.protocol.name),
                backbone,
                *_highest(table, backbone, rows),
                str(len(rows)),
                str(len(table.baselines)),
                trials,
            ]
            partial = " · PARTIAL DATA" if table.partial else ""
            link = f"[{markdown(plain(str(table.dataset)))}{partial}]({path})"
            lines.append([link, *(markdown(plain(cell)) or NOTHING for cell in cells)])
    parts = [
        MADE,
        "# Leaderboards",
        f"Each table is made from the records of its trials alone. {_READING}",
        pipe_table([*headings, "Baselines", "Trials"], lines),
    ]
    links = ", ".join(f"[{markdown(path.partition('/')[0])}]({path})" for path in grids)
    if links:
        parts.append(f"Rows of different samplers side by side: {links}.")
    if ranked:
        parts.append(f"Rows that several datasets have in common, ranked: [across]({ranked}).")
    return "\n\n".join(parts) + "\n"


def _highest(table: Table, backbone: str, rows: Sequence[Row]) -> tuple[str, str]:
    """Return the row with the highest mean and that mean, or a note that the lane is unfit."""
    if not rows or not table.headline:
        return "", ""
    if table.rankings[backbone].unfit:
        return "cannot rank losses: the best baseline is not beaten", ""
    mean = percent(rows[0].metrics.get(table.headline))
    return rows[0].label, f"{display_name(table.headline)} {mean}"


def _rankings(table: Table) -> list[str]:
    parts = []
    lanes = table.lanes
    for backbone, rows in lanes.items():
        title = "## Trained networks"
        parts.append(f"{title}: {markdown(backbone)}" if len(lanes) > 1 else title)
        ranking = table.rankings.get(backbone)
        sentences = [markdown(sentence) for sentence in ranking.sentences()] if ranking else []
        if ranking and backbone in table.new_classes:
            others = table.new_classes[backbone].sentences(ranking)
            sentences += [markdown(sentence) for sentence in others]
        if ranking and ranking.unfit:
            parts += [*(f"> **Note.** {sentence}" for sentence in sentences), _ranking(table, rows)]
        else:
            parts += [_ranking(table, rows, ranking), *sentences]
    if table.baselines:
        parts += ["## Baselines", _ranking(table, table.baselines)]
    if not parts:
        return ["No trial has finished."]
    return [*parts, _READING, _BELOW]


def _ranking(table: Table, rows: Sequence[Row], ranking: Ranking | None = None) -> str:
    cells = ranking_cells(table, rows, ranking)
    lines = [[markdown(cell) for cell in line] for line in cells.lines]
    return pipe_table(cells.headings, lines, cells.numeric)


def _reported(table: Table) -> list[str]:
    """Return what papers report beside what was reproduced, with a footnote for each source."""
    beside = reported_cells(table)
    if not beside:
        return []
    cells, footnotes = beside
    lines = [[markdown(cell) for cell in line] for line in cells.lines]
    return [
        "## Reported and reproduced",
        "Figures that were published under the protocol that this one follows, in percent. Where "
        "this one differs from the paper's, its file and the documentation say so: a difference "
        "may come from the network, the selection or the hyper-parameters.",
        pipe_table(cells.headings, lines, cells.numeric),
        "\n".join(f"{number}. {markdown(text)}" for number, text in enumerate(footnotes, 1)),
    ]


def _details(table: Table) -> str:
    headings, lines = row_details(table)
    if not lines:
        return "No trial has finished."
    cells = [[markdown(cell) or NOTHING for cell in line] for line in lines]
    return pipe_table([markdown(heading) for heading in headings], cells)


def _failures(table: Table) -> str:
    lines = []
    for row in table.rows:
        reasons: dict[str, list[Record]] = {}
        for record in row.failed:
            reasons.setdefault(plain(record.reason, REASON_LENGTH) or "no reason given", []).append(
                record
            )
        for reason, records in reasons.items():
            numbers = ", ".join(str(record.trial.seed) for record in records)
            word = "seeds" if len(records) > 1 else "seed"
            lines.append(f"- **{markdown(row.label)}**, {word} {numbers}: {markdown(reason)}")
    return "\n".join(lines)


def _distances(pictures: PageImages) -> list[str]:
    return [
        "## Distances while training",
        "![Mean cosine distances of positive and negative pairs by epoch, and their ratio]"
        f"({pictures.distances})",
        f"The experiment of the siamese network, here with {markdown(pictures.distances_row)}: "
        "mean cosine distance of all pairs of one class (positive) and of two classes (negative), "
        "epoch by epoch, mean over seeds. Epoch 0 is the untrained network, which maps everything "
        "into a narrow cone: both means may rise from there. What a good loss lowers is their "
        "ratio.",
    ]


def _bullets(texts: Mapping[str, str]) -> str:
    return "\n".join(f"- **{name}:** {markdown(text)}" for name, text in texts.items())


def pipe_table(
    headings: Sequence[str], lines: Sequence[Sequence[str]], numeric: Iterable[int] = ()
) -> str:
    """Return a table of cells that are already markdown; `numeric` columns are right-aligned."""
    right = set(numeric)
    table: str = tabulate(
        lines,
        headings,
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["right" if place in right else "left" for place in range(len(headings))],
    )
    return table
