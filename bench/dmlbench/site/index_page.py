"""The first page: all tables, and all methods over them."""

from dmlbench.leaderboard.across import across
from dmlbench.site.contents import INDEX, Contents
from dmlbench.site.pages import page
from dmlbench.site.sheets import methods_sheet, ranks_sheet, tables_sheet


def index_page(site: Contents) -> str:
    """Return the index of the site."""
    found = across(site.tables)
    return page(
        "index.html",
        INDEX,
        title="Leaderboards",
        tables=tables_sheet(site),
        methods=methods_sheet(site),
        across=found,
        ranks=ranks_sheet(found) if found else None,
        trials=sum(len(table.records) for table in site.tables),
    )
