"""The page of a table in GitHub's markdown, no wider than GitHub shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dmlbench.counted import counted
from dmlbench.leaderboard.commands import table_command
from dmlbench.leaderboard.formats.escaping import REASON_LENGTH, code_block, markdown, plain
from dmlbench.leaderboard.formats.markdown_details import details_sections
from dmlbench.leaderboard.formats.markdown_tables import pipe_table
from dmlbench.leaderboard.loss_grid import Grid, by_miner
from dmlbench.leaderboard.metric_names import display_name, main_metrics, percent
from dmlbench.leaderboard.protocol_facts import protocol_facts, provenance
from dmlbench.leaderboard.ranking_cells import main_columns, same_seeds
from dmlbench.leaderboard.reported import reported_cells
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.leaderboard.win_rates import win_rates
from dmlbench.schemas.record import Record

MADE = "<!-- Made by `dmlbench publish` from records; what is changed by hand is lost. -->"

_PARTIAL = (
    "> **Partial data: NOT comparable with published figures.** Only a part of the dataset was at "
    "hand. With fewer classes and items to search among, every figure is another one; rows of this "
    "table compare with each other alone."
)
READING = (
    "Mean ± half of the Student-t 95 % interval over the finished seeds, in percent; one seed has "
    "no interval. Rows stand in the order of their means; the order alone is no claim that one "
    "row is better than another."
)
_BELOW = (
    "*Below* names what a trained network must beat and did not, by the metric that rows are "
    "ordered by, or by those in brackets. Collapsed seeds, whose test embeddings are all alike at "
    "the epoch that counts or at the last, count in the mean; failed ones have no figures and are "
    "listed."
)

MOST_ROWS = 10
"""Of the rows that a page compares by how often each is above the others."""


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
        f"[All leaderboards](../README.md) · All figures, as fractions of 1: [CSV]({name}.csv), "
        f"[JSON]({name}.json) · For a paper: [LaTeX]({name}.tex)",
        markdown(plain(table.protocol.description, REASON_LENGTH)),
        _PARTIAL if table.partial else "",
        *(f"> **Note.** {markdown(note)}" for note in table.notes),
        *_rankings(table, pictures),
        *_reported(table),
    ]
    grid = by_miner(table)
    if grid and table.headline:
        parts += ["## Loss by miner", *grid_section(grid, table.headline)]
    parts += [*_win_rates(table, name), "## What all rows share", _bullets(protocol_facts(table))]
    if pictures.distances:
        parts += _distances(pictures)
    parts += details_sections(table, name)
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
    """Return a grid as a table, the longer side downwards, and what explains its differences."""
    cells = {place: percent(value) for place, value in grid.cells.items()}
    down, across = grid.losses, grid.parts
    if len(down) < len(across):
        down, across = across, down
        cells = {(part, loss): text for (loss, part), text in cells.items()}
    lines = [[markdown(plain(one)), *(cells[one, other] for other in across)] for one in down]
    headings = [display_name(metric), *(markdown(plain(other)) for other in across)]
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


def _rankings(table: Table, pictures: PageImages) -> list[str]:
    """Return the trained networks by backbone, the picture of all rows, and the baselines."""
    parts = []
    lanes = table.lanes
    for backbone, rows in lanes.items():
        title = "## Trained networks"
        parts.append(f"{title}: {markdown(backbone)}" if len(lanes) > 1 else title)
        ranking, others = table.rankings.get(backbone), table.new_classes.get(backbone)
        verdicts = map(markdown, ranking.verdicts() if ranking else [])
        if ranking and ranking.unfit:
            parts += [f"> **Note.** {verdict}" for verdict in verdicts]
        else:
            parts += verdicts
        parts.append(_ranking(table, rows))
        parts += map(markdown, ranking.method() if ranking else [])
        parts += map(markdown, others.sentences(ranking) if ranking and others else [])
    if pictures.ranking and table.headline:
        metric = display_name(table.headline)
        parts.append(f"![{metric} of every row with its 95 % interval]({pictures.ranking})")
    if table.baselines:
        parts += ["## Baselines", _ranking(table, table.baselines)]
    if not parts:
        return ["No trial has finished."]
    return [*parts, _seeds(table) + READING, _BELOW]


def _ranking(table: Table, rows: Sequence[Row]) -> str:
    columns = main_columns(table, rows)
    lines = [[markdown(cell) for cell in line] for line in zip(*columns.values(), strict=True)]
    figures = range(1, 1 + len(main_metrics(table.metrics)))
    return pipe_table([markdown(heading) for heading in columns], lines, figures)


def _seeds(table: Table) -> str:
    same = same_seeds(table)
    return f"Each row: {counted(same, 'seed')}. " if same else ""


def _win_rates(table: Table, name: str) -> list[str]:
    """Return how often the first rows are above each other, and where all rows are."""
    rates = win_rates(table)
    if rates is None or not table.headline:
        return []
    metric, rows, seeds = display_name(table.headline), rates.rows[:MOST_ROWS], len(rates.seeds)
    others = range(len(rows))
    lines = [
        [
            str(place + 1),
            markdown(row.label),
            *("" if at == place else f"{100 * rates.shares[place, at]:.0f}" for at in others),
        ]
        for place, row in enumerate(rows)
    ]
    headings = ["", "Row", *(str(at + 1) for at in others)]
    which = f"the first {len(rows)} rows" if len(rows) < len(rates.rows) else "all rows"
    return [
        "## Who wins how often",
        f"In how many percent of {counted(seeds, 'seed')} a row's {metric} is above that of the "
        f"row with the number on top, for {which}; [all]({name}.win-rates.csv) as fractions of 1. "
        "No test, only a count.",
        pipe_table(headings, lines, range(2, len(headings))),
    ]


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
