r"""A table for a paper: LaTeX with ``booktabs`` rules, in plain ASCII for any engine."""

from collections.abc import Sequence

from dmlbench.leaderboard.formats.escaping import latex
from dmlbench.leaderboard.metric_names import display_name
from dmlbench.leaderboard.ranking_cells import Cells, ranking_cells
from dmlbench.leaderboard.tables import Table

_HEAD = r"""% Made by `dmlbench publish` from records. In the preamble: \usepackage{booktabs}"""


def to_latex(table: Table) -> str:
    """Return a ``table`` environment for each lane and one for the baselines."""
    parts = [_HEAD]
    several = len(table.lanes) > 1
    for backbone, rows in table.lanes.items():
        ranking = table.rankings.get(backbone)
        title = f"{table.title}, {backbone}" if several else table.title
        caption = [title, _reading(table)]
        if ranking and ranking.decided:
            caption.append(
                f"Rows marked best can't be told from the best by {ranking.name} "
                f"(model confidence set, {len(ranking.seeds)} seeds)."
            )
        elif ranking and ranking.unfit:
            caption.append(ranking.unfit)
        parts.append(_environment(ranking_cells(table, rows, ranking), caption))
    if table.baselines:
        caption = [f"{table.title}, baselines", _reading(table)]
        parts.append(_environment(ranking_cells(table, table.baselines), caption))
    if len(parts) == 1:
        parts.append("% No trial has finished.")
    return "\n\n".join(parts) + "\n"


def _reading(table: Table) -> str:
    metrics = ", ".join(display_name(metric, table.metric_facts) for metric in table.metrics)
    only = " Partial data: not comparable with published figures." if table.partial else ""
    return f"{metrics}: mean ± half of the 95 % interval over seeds, in percent.{only}"


def _environment(cells: Cells, caption: Sequence[str]) -> str:
    columns = "".join("r" if i in cells.numeric else "l" for i in range(len(cells.headings)))
    first, *sentences = map(latex, caption)
    lines = [_line(cells.headings), r"\midrule", *map(_line, cells.lines)]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{first}. {' '.join(sentences)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(latex, cells)) + r" \\"
