"""How each row was made: what a reader needs to judge its figures."""

from dmlbench.leaderboard.columns import detail_texts
from dmlbench.leaderboard.row_document import RowDocument
from dmlbench.leaderboard.tables import Table


def row_details(table: Table) -> tuple[list[str], list[list[str]]]:
    """Return headings and a line for each finished row; columns without a text are left out."""
    columns = detail_columns(table)
    lines = [list(line) for line in zip(*columns.values(), strict=True)]
    return [heading for _, heading in columns], lines


def detail_columns(table: Table) -> dict[tuple[str, str], list[str]]:
    """Return the texts of the finished rows by field of `RowDocument` and heading."""
    lines = [detail_texts(RowDocument, table, row) for row in table.rows if row.finished]
    columns = {place: [line[place] for line in lines] for place in (lines[0] if lines else ())}
    return {place: texts for place, texts in columns.items() if any(texts)}
