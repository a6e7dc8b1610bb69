"""Write the leaderboards of a set of records."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from dmlbench.leaderboard.across_datasets import across
from dmlbench.leaderboard.distance_curves import curves_row
from dmlbench.leaderboard.formats.csv import to_csv, win_rates_csv
from dmlbench.leaderboard.formats.json import to_json
from dmlbench.leaderboard.formats.latex import to_latex
from dmlbench.leaderboard.formats.markdown import PageImages, markdown_page, samplers_page
from dmlbench.leaderboard.formats.markdown_across import across_page
from dmlbench.leaderboard.formats.markdown_index import index
from dmlbench.leaderboard.formats.svg import distances_svg, ranking_svg
from dmlbench.leaderboard.loss_grid import by_sampler, differing_by_sampler
from dmlbench.leaderboard.plugin_columns import Columns
from dmlbench.leaderboard.tables import Table, make_tables
from dmlbench.leaderboard.win_rates import win_rates
from dmlbench.schemas.record import Record
from dmlbench.storage.atomic import slug, write_asked
from dmlbench.storage.record_store import Store

INDEX, ACROSS = "README.md", "across.md"
_RESERVED = {INDEX.lower(), ACROSS, "runs"}
"""Names already taken in the folder: the index, and the records behind published tables."""


def publish(records: Iterable[Record], folder: Path, *, columns: Columns = None) -> list[Path]:
    """Write page, CSV, JSON, LaTeX and pictures of each table, and the index; return the paths.

    The same records give the same bytes, whatever order they come in. Each file is written whole
    or not at all; other files in the folder stay.

    Args:
        records: of any datasets and protocols.
        folder: where to write, made if it is not there.
        columns: who adds columns, as for `dmlbench.leaderboard.tables.make_tables`.

    Raises:
        ConfigError: there are no records, or the folder can't be written to.
    """
    return write_files(files_by_path(records, columns=columns), folder)


def files_by_path(records: Iterable[Record], *, columns: Columns = None) -> dict[str, str]:
    """Return the texts of all files that `publish` writes, by path in its folder.

    Raises:
        ConfigError: there are no records.
    """
    return table_files(make_tables(records, columns=columns))


def write_files(texts: Mapping[str, str], folder: Path) -> list[Path]:
    """Write the texts, by path in `folder`, and return the paths of their files.

    Raises:
        ConfigError: the folder can't be written to.
    """
    Store(folder).check_writable()
    return [write_asked(folder / path, text, "--output") for path, text in sorted(texts.items())]


def table_files(tables: Sequence[Table]) -> dict[str, str]:
    """Return the texts of all files of `tables` and of their index, by path."""
    texts: dict[str, str] = {}
    pages = list(zip(_stems(tables), tables, strict=True))
    for stem, table in pages:
        texts |= _files(stem, table)
    grids = _sampler_pages(pages)
    texts |= grids
    found = across(tables)
    if found:
        texts[ACROSS] = across_page(found, {table.id: f"{stem}.md" for stem, table in pages})
    links = [(f"{stem}.md", table) for stem, table in pages]
    texts[INDEX] = index(links, sorted(grids), ACROSS if found else "")
    return texts


def _files(stem: PurePosixPath, table: Table) -> dict[str, str]:
    """Return the texts of a table's files by path."""
    row = curves_row(table)
    drawings = {
        "ranking": ranking_svg(table),
        "distances": distances_svg(row) if row else None,
    }
    pictures = {name: f"{stem.name}.{name}.svg" for name, svg in drawings.items() if svg}
    files = {f"{stem}.{name}.svg": svg for name, svg in drawings.items() if svg}
    text = markdown_page(
        table, stem.name, PageImages(**pictures, distances_row=row.label if row else "")
    )
    files |= {f"{stem}.md": text, f"{stem}.csv": to_csv(table), f"{stem}.tex": to_latex(table)}
    if rates := win_rates(table):
        files[f"{stem}.win-rates.csv"] = win_rates_csv(rates)
    return {f"{stem}.json": to_json(table), **files}


def _sampler_pages(pages: Sequence[tuple[PurePosixPath, Table]]) -> dict[str, str]:
    """Return the pages that show tables side by side that differ only in the sampler."""
    stems = {table.id: stem for stem, table in pages}
    texts = {}
    for group in differing_by_sampler(table for _, table in pages):
        grid = by_sampler(group)
        if grid:
            stem = min((stems[table.id] for table in group), key=lambda stem: len(stem.name))
            named = [(f"{stems[table.id].name}.md", table) for table in group]
            texts[f"{stem}.samplers.md"] = samplers_page(grid, named)
    return texts


def _stems(tables: Sequence[Table]) -> list[PurePosixPath]:
    """Return ``dataset/protocol`` for each table, with a hash where that is not unique."""
    plain = [(slug(str(table.dataset)), slug(table.protocol.name)) for table in tables]
    taken = Counter((dataset.lower(), protocol.lower()) for dataset, protocol in plain)
    stems = []
    for table, (dataset, protocol) in zip(tables, plain, strict=True):
        reserved = dataset.lower() in _RESERVED
        shared = taken[dataset.lower(), protocol.lower()] > 1
        folder = f"{dataset}-data" if reserved else dataset
        name = f"{protocol}-{table.id[:8]}" if reserved or shared else protocol
        stems.append(PurePosixPath(folder, name))
    return stems
