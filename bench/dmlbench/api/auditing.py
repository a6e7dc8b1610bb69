"""Whether records can be believed: run them again, compare them, take those of somebody else."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlbench.api.defaults import DEVICE, RUNS
from dmlbench.api.records import as_records
from dmlbench.api.running import check_device, data_folder, decoding_progress, run_plan
from dmlbench.schemas.plan import Plan
from dmlbench.schemas.record import Record

if TYPE_CHECKING:
    from dmlbench.audit.merge import CheckedFile
    from dmlbench.audit.reproduce import Reproduction
    from dmlbench.audit.source_proof import NewAlias
    from dmlbench.audit.table_differences import Changes


def reproduce(
    record: Record | str | Path,
    *,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: str = DEVICE,
    jobs: int | None = None,
    progress: bool = True,
) -> "Reproduction":
    """Run the trial of `record` again and compare, as ``dmlbench reproduce``; nothing is written.

    Args:
        record: a record, or the path of its file.
        data_dir, cache_dir, jobs, progress: as for `run`.
        device: as for `run`, but "auto" is the CPU for a trial that ran on one.

    Returns:
        Whether the trial was ``reproduced``, whether ``to_the_bit``, the ``differences`` of the
        two records, and what differs of the ``platform``.

    Raises:
        ConfigError: what could run here would be another trial: a component is missing or has
            another source.
        DataError: the file can't be read, or the data are missing or others.
        PluginError: a component can't be imported.
    """
    return reproduce_all(
        [record],
        data_dir=data_dir,
        cache_dir=cache_dir,
        device=device,
        jobs=jobs,
        progress=progress,
    )[0]


def reproduce_all(
    records: Iterable[Record | str | Path],
    *,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: str = DEVICE,
    jobs: int | None = None,
    progress: bool = True,
) -> "list[Reproduction]":
    """Run the trials of several records again, side by side; see `reproduce`.

    Nothing runs unless all of them can be run again here.

    Raises:
        ConfigError, DataError, PluginError: see `reproduce`.
    """
    from tempfile import TemporaryDirectory

    from dmlbench.audit.reproduce import compare_records, device_again, divided_again, plan_again
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.source_aliases import installed_aliases, loadable
    from dmlbench.components.workplace import Workplace
    from dmlbench.compute.device import pick_device
    from dmlbench.contracts.executor import WorkerSettings
    from dmlbench.executors.choice import choose_executor
    from dmlbench.storage.record_store import read_record

    check_device(device)
    catalogue = Catalogue.discover()
    executor = choose_executor(catalogue, jobs=jobs)
    given = [one if isinstance(one, Record) else read_record(Path(one)) for one in records]
    device = device_again(given, device)
    aliases = installed_aliases(catalogue)
    given = [loadable(record, aliases) for record in given]
    data, cache = data_folder(data_dir), Path(cache_dir) if cache_dir else None
    workplace = Workplace(catalogue, data, pick_device(device), cache)
    with decoding_progress(progress) as on_progress:
        plan = plan_again(given, workplace, on_progress)
    ways = [divided_again(record, workplace.device) for record in given]
    again: dict[tuple[Any, str], Record] = {}
    for way in dict.fromkeys(ways):
        ids = {record.id for record, its in zip(given, ways, strict=True) if its == way}
        some = Plan(tuple(trial for trial in plan.trials if trial.id in ids))
        with TemporaryDirectory(prefix="dmlbench-") as folder:
            settings = WorkerSettings(
                Path(folder), data, device, cache, chunk=way[0], devices_per_trial=way[1]
            )
            ran = run_plan(some, settings, executor, progress=progress)
            again |= {(way, record.id): record for record in ran}
    return [
        compare_records(record, again[way, record.id])
        for record, way in zip(given, ways, strict=True)
    ]


def add_source_aliases(
    record: Record | str | Path,
    *,
    renamed: Mapping[str, str] | None = None,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: str = DEVICE,
    progress: bool = True,
) -> "list[NewAlias]":
    """Prove that edited or renamed code gives the figures of `record`, and add aliases for it.

    As ``dmlbench plugin alias``. The trial runs again; if it is equal to the bit, an entry goes
    into a file of the package that was edited, and rows made with the code before go on.

    Args:
        record: a finished one made with the code before, or the path of its file.
        renamed: what a component is called today, by its kind, such as ``{"loss": "mine"}``.
        data_dir, cache_dir, device, progress: as for `run`.

    Raises:
        ConfigError: nothing was edited or renamed, something else differs, or the figures do.
        DataError: the file can't be read, or the data are missing or others.
        PluginError: a component can't be imported.
    """
    from dmlbench.audit.source_proof import add_alias, prove_aliases
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.storage.record_store import read_record

    def again(edited: Record) -> Record:
        (found,) = reproduce_all(
            [edited],
            data_dir=data_dir,
            cache_dir=cache_dir,
            device=device,
            jobs=1,
            progress=progress,
        )
        return found.again

    given = record if isinstance(record, Record) else read_record(Path(record))
    found = prove_aliases(given, Catalogue.discover(), again, renamed)
    for new in found:
        add_alias(new)
    return found


def diff(first: Iterable[Record] | str | Path, second: Iterable[Record] | str | Path) -> "Changes":
    """Say what changed between two sets of records, and what of it is real: ``dmlbench diff``.

    Args:
        first: records, or a path that `load_records` reads.
        second: those to compare with it.

    Returns:
        ``rows``, each with its ``label``, ``verdict`` ("real", "can't be told apart", …), what
        ``changes`` in its parts and data, and the ``difference`` of the means, second minus first;
        and which ``versions`` and ``settings`` differ.

    Raises:
        DataError: there are no records at a path.
    """
    from dmlbench.audit.table_differences import compare_sets

    return compare_sets(as_records(first), as_records(second))


def merge(
    folder: str | Path,
    into: str | Path = RUNS,
    *,
    allow_other_data: bool = False,
    dry_run: bool = False,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> "Sequence[CheckedFile]":
    """Copy the records in `folder` to yours, each after a check: ``dmlbench merge``.

    Args:
        folder: somebody else's records; it is not trusted.
        into: the folder with yours.
        allow_other_data: take records on data that are not yours; they make tables of their own.
        dry_run: only check; write nothing.
        data_dir: folder with your copies of datasets. None: the variable DMLBENCH_DATA.
        cache_dir: folder for decoded photos. None: as for `run`.

    Returns:
        What became of each file: why it was ``refused`` (empty if it was not), whether it
        ``is_there`` already, and ``notes`` on it.

    Raises:
        ConfigError: `into` can't be written to.
        DataError: there is no record in `folder`.
    """
    from dmlbench.audit.merge import RecordChecker, import_records
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.storage.record_store import Store

    store = Store(Path(into))
    checker = RecordChecker(
        store,
        Catalogue.discover(),
        data_folder(data_dir),
        Path(cache_dir) if cache_dir else None,
        allow_other_data,
    )
    findings = checker.findings(Path(folder))
    if not dry_run and any(found.record and not found.is_there for found in findings):
        store.check_writable("--into")
        findings = import_records(findings, store)
    return findings
