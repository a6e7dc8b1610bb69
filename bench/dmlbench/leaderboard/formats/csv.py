"""A table's figures for spreadsheets and scripts, with the digits that `written` leaves."""

import csv
import io
from math import isfinite
from typing import Any

from dmlbench.leaderboard.columns import csv_cells
from dmlbench.leaderboard.formats.escaping import csv_cell
from dmlbench.leaderboard.formats.figures import written
from dmlbench.leaderboard.row_document import RowDocument
from dmlbench.leaderboard.tables import Table
from dmlbench.leaderboard.win_rates import WinRates


def to_csv(table: Table) -> str:
    """Return one line per row: names, seeds, means and half-widths as fractions, ids, the command.

    No text in it can be mistaken for a formula. What a row lacks is empty.
    """
    lines = [csv_cells(RowDocument, table, row) for row in table.rows]
    columns = dict.fromkeys(name for line in lines for name in line)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(csv_cell, columns))
    writer.writerows([_cell(line.get(name)) for name in columns] for line in lines)
    return file.getvalue()


def win_rates_csv(rates: WinRates) -> str:
    """Return the share of seeds at which the row of a line is above that of a column."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    labels = [csv_cell(row.label) for row in rates.rows]
    writer.writerow(["row", *labels])
    writer.writerows(
        [label, *("" if at == place else written(share) for at, share in enumerate(shares))]
        for place, (label, shares) in enumerate(zip(labels, rates.shares.tolist(), strict=True))
    )
    return file.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return written(value) if isfinite(value) else None
    return csv_cell(value) if isinstance(value, str) else value
