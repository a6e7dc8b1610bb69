"""How each row was made: what a reader needs to judge its figures."""

from dmlbench.leaderboard.columns import detail_texts
from dmlbench.leaderboard.row_document import RowDocument
from dmlbench.leaderboard.tables import Table


def row_details(table: Table) -> tuple[list[str], list[list[str]]]:
    """Return headings and a line for each finished row; columns without a text are left out."""
    lines = [detail_texts(RowDocument, table, row) for row in table.rows if row.finished]
    used = [place for place in lines[0] if any(line[place] for line in lines)] if lines else []
    return [heading for _, heading in used], [[line[place] for place in used] for line in lines]
