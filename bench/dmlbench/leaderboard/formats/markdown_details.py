"""How the rows of a page were made, and what else was measured, in tables that fit a page."""

from collections.abc import Mapping, Sequence

from dmlbench.leaderboard.formats.escaping import markdown
from dmlbench.leaderboard.formats.markdown_tables import pipe_table
from dmlbench.leaderboard.ranking_cells import NOTHING
from dmlbench.leaderboard.row_details import detail_columns
from dmlbench.leaderboard.tables import Table

_ELSEWHERE = {"metrics", "reducer", "embedding_dim"}
"""Fields that the table above, the losses' documentation or the protocol tell."""
_MEASURED = {"last_epoch_metrics", "over_floors"}
"""Fields of the second table; the others are in the first."""
_OVER = (
    "*Over* a row that must be beaten: the mean difference seed by seed, with the 95 % interval of "
    "the paired t-test for this row by itself, in percent points."
)

_Columns = Mapping[str, Sequence[str]]


def details_sections(table: Table, name: str) -> list[str]:
    """Return the sections; what all trained rows or all baselines share is said once.

    Args:
        table: whose finished rows are told of.
        name: of the files beside the page, which have the columns that a page leaves out.
    """
    made, measured = {}, {}
    for (field, heading), texts in detail_columns(table).items():
        if field == "label":
            made[heading] = measured[heading] = texts
        elif field in _MEASURED or heading == "Tied queries":
            if heading != "Last epoch: Recall@1" or table.headline == "recall@1":
                measured[heading] = texts
        elif field not in _ELSEWHERE:
            made[heading] = texts
    if not made:
        return []
    baselines = [row.is_baseline for row in table.rows if row.finished]
    rest = f"Reducers, other metrics and the last epoch's are in [the CSV file]({name}.csv)."
    over = _OVER if table.floors and table.trained else ""
    return [
        "## How the rows were made",
        *_section(made, baselines),
        "## What else was measured",
        *_section(measured, baselines),
        f"{over} {rest}".strip(),
    ]


def _section(columns: _Columns, baselines: Sequence[bool]) -> list[str]:
    """Return what rows share as sentences, and the other columns as a table."""
    groups = {
        word: [place for place, one in enumerate(baselines) if one == kind]
        for word, kind in (("trained rows", False), ("baselines", True))
    }
    groups = {word: places for word, places in groups.items() if places}
    shared = {heading for heading, texts in columns.items() if _shared(texts, groups)}
    sentences = []
    for word, places in groups.items():
        told = {h: [columns[h][place] for place in places] for h in columns if h in shared}
        facts = "; ".join(f"{h.lower()} {_said(texts)}" for h, texts in told.items() if any(texts))
        if facts:
            sentences.append(f"The same for all {word}: {markdown(facts)}.")
    kept = {heading: texts for heading, texts in columns.items() if heading not in shared}
    lines = [
        [markdown(cell) or NOTHING for cell in line] for line in zip(*kept.values(), strict=True)
    ]
    return [*sentences, pipe_table([markdown(heading) for heading in kept], lines)]


def _shared(texts: Sequence[str], groups: Mapping[str, Sequence[int]]) -> bool:
    """Return whether those of a group that have a text have the same, and some group several."""
    alike = all(len({texts[place] for place in places} - {""}) < 2 for places in groups.values())
    return alike and any(len(places) > 1 for places in groups.values())


def _said(texts: Sequence[str]) -> str:
    return max(texts) + ("" if all(texts) else " (where there is one)")
