"""Tables of GitHub's markdown."""

from collections.abc import Iterable, Sequence

from tabulate import tabulate


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
