"""Write the site: complete pages, and none left over from an earlier set of records."""

from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from dmlbench.leaderboard.loss_grid import differing_by_sampler
from dmlbench.leaderboard.plugin_columns import Columns
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table, make_tables
from dmlbench.schemas.record import Record
from dmlbench.site.gallery import Retrieved, gallery
from dmlbench.site.index_page import index_page
from dmlbench.site.kept_embeddings import HOW, Embedded, ReadData, ReadEmbeddings, embedded
from dmlbench.site.method_page import method_page
from dmlbench.site.method_text import ReadTexts
from dmlbench.site.sitemap import INDEX, Contents, sitemap
from dmlbench.site.table_page import DOWNLOADS, table_page
from dmlbench.site.trial_page import trial_page
from dmlbench.storage.atomic import write_asked
from dmlbench.storage.record_store import Store

MADE = "pages.txt"
"""Lists the files of the site, so that stale ones are deleted when it is made again."""


def build_site(
    records: Iterable[Record],
    folder: Path,
    *,
    embeddings: ReadEmbeddings = lambda trial: None,
    data: ReadData = lambda trial: None,
    texts: ReadTexts = lambda kind, part: (),
    columns: Columns = None,
) -> list[Path]:
    """Write a static site of the leaderboards of `records`; return the paths of its files.

    The same records, embeddings and data give the same bytes, whatever order the records come in
    and whatever the processor; but maps of embeddings repeat on the same platform only.

    Args:
        records: of any datasets and protocols.
        folder: see `write_site`, as for `embeddings`, `data` and `texts`.
        embeddings: of a trial.
        data: of a trial.
        texts: of a method.
        columns: who adds columns, as for `dmlbench.leaderboard.tables.make_tables`.

    Raises:
        ConfigError: there are no records, or the folder can't be written to.
    """
    tables = make_tables(records, columns=columns)
    return write_site(tables, folder, embeddings=embeddings, data=data, texts=texts)


def write_site(
    tables: Sequence[Table],
    folder: Path,
    *,
    embeddings: ReadEmbeddings = lambda trial: None,
    data: ReadData = lambda trial: None,
    texts: ReadTexts = lambda kind, part: (),
) -> list[Path]:
    """Write a static site of `tables`; return the paths of its files.

    It opens without a server and requests nothing from other hosts. Files of an earlier site that
    are no longer part of it are deleted; other files in the folder stay.

    Args:
        tables: at least one.
        folder: where to write, made if it is not there.
        embeddings: returns the test embeddings ``[N, E]`` of a trial by split (``test``, or
            ``query`` and ``gallery``), rows in the order of the split; None if they were not kept.
            The pages show the text of a DataError that it raises.
        data: returns the data of a trial, for pictures and class names; None if not available.
        texts: returns what a loss or baseline says of itself; none if it is not installed.

    Raises:
        ConfigError: the folder can't be written to.
    """
    site = sitemap(tables)
    Store(folder).check_writable("--html")
    made = []
    for path, content in _files(site, embeddings, data, texts):
        write_asked(folder / path, content, "--html")
        made.append(path)
    _remove_others(folder, made)
    write_asked(folder / MADE, "".join(f"{path}\n" for path in sorted(made)), "--html")
    return [folder / path for path in sorted([*made, MADE])]


def _files(
    site: Contents, embeddings: ReadEmbeddings, data: ReadData, texts: ReadTexts
) -> Iterator[tuple[str, str | bytes]]:
    """Yield the path and the content of each file."""
    for source in ("assets", "vendor"):
        for asset in (files("dmlbench.site") / source).iterdir():
            yield f"{source}/{asset.name}", asset.read_bytes()
    pictures: dict[str, list[Retrieved]] = {}
    samplers = {one.id: group for group in differing_by_sampler(site.tables) for one in group}
    for table in site.tables:
        shown: tuple[Row, Record, Embedded] | None = None
        missing = HOW
        for row in table.rows:
            for record in row.records:
                kept = embedded(record, embeddings, data)
                yield site.trial(record), trial_page(site, table, row, record, kept)
                if isinstance(kept, str):
                    missing = kept if missing == HOW else missing
                elif shown is None and record.status == "finished":
                    shown = (row, record, kept)
        found = pictures[table.id] = gallery(shown[2]) if shown else []
        yield site.table(table), table_page(site, table, samplers[table.id], shown, found, missing)
        for suffix, (_, render) in DOWNLOADS.items():
            yield site.table(table, suffix), render(table)
    for method in site.methods:
        yield site.method_page(method), method_page(site, method, texts)
    yield INDEX, index_page(site, pictures)


def _remove_others(folder: Path, made: Iterable[str]) -> None:
    """Delete the files of an earlier site that are not among `made`."""
    earlier = folder / MADE
    names = earlier.read_text(encoding="utf-8").splitlines() if earlier.is_file() else []
    for name in sorted(set(names) - set(made)):
        path = folder / name
        if path.is_file() and folder.resolve() in path.resolve().parents:
            path.unlink()
