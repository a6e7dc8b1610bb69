"""Tables of records, and the files that show them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dmlbench.api.defaults import LEADERBOARDS, RUNS
from dmlbench.api.records import as_records
from dmlbench.api.running import data_folder
from dmlbench.schemas.record import Record

if TYPE_CHECKING:
    import numpy as np

    from dmlbench.audit.published_files import PublishedCheck
    from dmlbench.data.items import Data
    from dmlbench.leaderboard.tables import Table
    from dmlbench.schemas.trial import Trial


@dataclass(frozen=True)
class Published:
    """The files that `publish` wrote."""

    files: tuple[Path, ...]
    """Pages, figures and pictures of the tables, and their index."""
    site: tuple[Path, ...] = ()
    """Files of the static site."""


def tables(records: Iterable[Record] | str | Path = RUNS) -> "list[Table]":
    """Return the leaderboards of `records`: one for each dataset and protocol.

    Args:
        records: of any datasets and protocols, in any order; or a path that `load_records` reads.

    Returns:
        Tables, sorted by dataset and protocol. ``table.title`` names one, ``table.headline`` is the
        metric that its rows are ordered by, and ``table.to_frame()`` is a data frame that equals
        the published CSV file. Columns that hook plugins offer are in it.

    Raises:
        ConfigError: there are no records.
        DataError: there are no records at the path.
    """
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.hook_plugins import plugin_manager
    from dmlbench.components.source_aliases import as_first, as_today, installed_aliases
    from dmlbench.leaderboard.tables import make_tables

    catalogue = Catalogue.discover()
    aliases = installed_aliases(catalogue)
    found = [as_today(as_first(record, aliases), aliases) for record in as_records(records)]
    with plugin_manager(catalogue) as columns:
        return make_tables(found, columns=columns)


def publish(
    records: Iterable[Record] | str | Path = RUNS,
    output: str | Path = LEADERBOARDS,
    *,
    html: str | Path | None = None,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> Published:
    """Write the leaderboards of `records`, as ``dmlbench publish``.

    The same records give the same bytes.

    Args:
        records: of any datasets and protocols, in any order; or a path that `load_records` reads.
        output: folder for markdown, CSV, JSON, LaTeX and pictures; other files in it stay.
        html: folder for a static site too. Its pictures of what is retrieved need the data, and
            embeddings that were kept beside `Records`.
        data_dir: folder with your copies of datasets. None: the variable DMLBENCH_DATA.
        cache_dir: folder for decoded photos. None: as for `run`.

    Raises:
        ConfigError: there are no records, or a folder can't be written to.
        DataError: there are no records at the path.
    """
    from dmlbench.leaderboard.publish import table_files, write_files
    from dmlbench.storage.record_store import Store

    found = as_records(records)
    made = tables(found)
    data_dir = data_folder(data_dir)
    files = write_files(table_files(made), Path(output))
    if html is None:
        return Published(tuple(files))
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.site import write_site
    from dmlbench.site.method_text import installed_texts

    store = Store(found.folder) if found.folder else None
    trials = {record.id: record.trial for record in found}  # under the names of their files

    def embeddings(trial: "Trial") -> "dict[str, np.ndarray] | None":
        return store.embeddings(trials.get(trial.id, trial)) if store else None

    site = write_site(
        made,
        Path(html),
        embeddings=embeddings,
        data=_data_reader(data_dir, Path(cache_dir) if cache_dir else None),
        texts=installed_texts(Catalogue.discover()),
    )
    return Published(tuple(files), tuple(site))


def check_published(
    records: Iterable[Record] | str | Path = RUNS, output: str | Path = LEADERBOARDS
) -> "PublishedCheck":
    """Compare the files in `output` with those that `publish` would write; nothing is written.

    As ``dmlbench publish --check``. ``stale`` of what it returns says which files are not what
    `records` give, and why; it is empty if all are.

    Raises:
        ConfigError: there are no records.
        DataError: there are no records at the path.
    """
    from dmlbench.audit.published_files import check
    from dmlbench.leaderboard.publish import table_files

    return check(table_files(tables(records)), Path(output))


def _data_reader(data_dir: Path | None, cache_dir: Path | None) -> "Callable[[Trial], Data | None]":
    """Return a function that gives the data of a trial, or None where they are not at hand."""
    import torch

    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.workplace import Workplace
    from dmlbench.data.photos.decoding import PhotoFormat
    from dmlbench.errors import DmlbenchError
    from dmlbench.schemas.trial import canonical_json
    from dmlbench.trials.run_trial import load_once

    workplace = Workplace(Catalogue.discover(), data_dir, torch.device("cpu"), cache_dir)

    def read(trial: "Trial") -> "Data | None":
        located = trial.dataset.located()
        asked = (located.reference, canonical_json(located.settings))
        try:
            return load_once(workplace, *asked, PhotoFormat.of(trial.protocol))[1]
        except DmlbenchError:
            return None

    return read
