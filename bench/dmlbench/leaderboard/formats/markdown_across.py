"""The page of ranks across datasets, in GitHub's markdown."""

from collections import Counter
from collections.abc import Mapping

from dmlbench.counted import counted
from dmlbench.leaderboard.across_datasets import Across
from dmlbench.leaderboard.formats.escaping import markdown, plain
from dmlbench.leaderboard.formats.markdown import MADE
from dmlbench.leaderboard.formats.markdown_tables import pipe_table
from dmlbench.statistics import LEAST_DATASETS


def across_page(found: Across, pages: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        found: rows ranked on several datasets.
        pages: path of each table's page, by the table's id.
    """
    ranks, tables = found.ranks, found.tables
    links = [f"[{markdown(plain(str(table.dataset)))}]({pages[table.id]})" for table in tables]
    interval = "95 % interval" if ranks.resampled else "Least to greatest"
    lines = [
        [
            markdown(label),
            f"{ranks.means[place]:.2f}",
            f"{ranks.low[place]:.3g} to {ranks.high[place]:.3g}",
            *(f"{rank:g}" for rank in ranks.ranks[:, place]),
        ]
        for place, label in enumerate(found.labels)
    ]
    headings = ["Row", "Mean rank", interval, *links]
    parts = [
        MADE,
        "# Across datasets",
        "[All leaderboards](README.md)",
        f"Ranks of the {counted(len(found.labels), 'row')} that {len(tables)} datasets have in "
        "common, with the same loss, miner and settings of both; what else there is, the protocol "
        "of each dataset chooses. Within each dataset these rows are ranked by their means over "
        "seeds (1: highest). Of a dataset's tables, the one with most rows takes part; lanes that "
        "cannot rank losses do not.",
        pipe_table(headings, lines, range(1, len(headings))),
        "## What this tells",
        _worth(found),
        _dependence(found),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _worth(found: Across) -> str:
    """Return a caution about how little a few datasets show."""
    ranks = found.ranks
    datasets, rows = ranks.ranks.shape
    widest = float(ranks.means.max() - ranks.means.min())
    text = (
        f"Little: {datasets} datasets. Two of {rows} mean ranks are told apart from a difference "
        f"of {ranks.critical:.1f} on (Nemenyi, 95 %); "
        + (
            f"the largest here is {widest:.1f}, so no two are."
            if widest < ranks.critical
            else f"the largest here is {widest:.1f}."
        )
    )
    if ranks.resampled:
        return f"{text} Intervals are percentiles of 2,000 resamples of the datasets."
    return (
        f"{text} With fewer than {LEAST_DATASETS} datasets a mean rank has no interval worth the "
        "name, and no Wilcoxon test of two rows could reject anything, so the least and the "
        "greatest rank stand in its place. The mean ranks are no claim about another dataset."
    )


def _dependence(found: Across) -> str:
    names = Counter(table.dataset.name for table in found.tables)
    same = [plain(name) for name, count in names.items() if count > 1]
    text = (
        "Datasets made of the same images (class splits of one set, or its closed and its open "
        "half) are not independent: they count for less than their number."
    )
    if same:
        text += f" Here that holds for {markdown(', '.join(same))}."
    return text
