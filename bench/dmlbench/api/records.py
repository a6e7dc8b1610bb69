"""The records of a run or of a folder, as a sequence and as data frames."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from dmlbench.api.defaults import RUNS
from dmlbench.counted import counted
from dmlbench.errors import DataError
from dmlbench.schemas.record import Record

if TYPE_CHECKING:
    import pandas as pd

_MOST_REASONS = 3


class Records(Sequence[Record]):
    """A sequence of records, with three views as pandas data frames.

    A slice of it is of the same type. `trials`, `epochs` and `queries` name a trial by its
    ``trial_id``, so that the frames can be merged with each other; ``row_id`` is that of the
    tables of `dmlbench.tables`.

    Args:
        records: of any trials.
        damaged: an error for each file that could not be read.
        folder: the folder they are from, beside whose records kept embeddings are.
    """

    def __init__(
        self,
        records: Iterable[Record] = (),
        *,
        damaged: Iterable[DataError] = (),
        folder: Path | None = None,
    ) -> None:
        self._records = tuple(records)
        self.damaged = tuple(damaged)
        self.folder = folder

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> "Records": ...
    def __getitem__(self, place: int | slice) -> "Record | Records":
        if isinstance(place, slice):
            return Records(self._records[place], damaged=self.damaged, folder=self.folder)
        return self._records[place]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    def __repr__(self) -> str:
        failed = sum(record.status == "failed" for record in self._records)
        parts = [counted(len(self), "record")]
        parts += [f"{failed} failed"] if failed else []
        parts += [counted(len(self.damaged), "damaged file")] if self.damaged else []
        return f"<Records: {', '.join(parts)}>"

    def vanished(self) -> list[Record]:
        """Return the records whose files are no longer in `folder`: somebody removed them."""
        from dmlbench.storage.record_store import Store

        if self.folder is None:
            return []
        store = Store(self.folder)
        return [record for record in self if not store.path(record.trial).is_file()]

    def trials(self) -> "pd.DataFrame":
        """Return a row for each trial, in order.

        Columns: ``trial_id``, ``row_id``, ``dataset``, ``fingerprint``, ``protocol``, ``label``;
        ``baseline``, ``loss``, ``miner``, ``sampler``, ``backbone`` (None where the trial has no
        such part); ``seed``, ``status``, ``reason``, ``collapsed``, ``selected_epoch``,
        ``seconds``; then each metric of the selected epoch under its own name, as a fraction, and
        each of the last epoch with the prefix ``last_epoch_``. Metrics of failed trials are NaN.
        """
        from dmlbench.api.frames import trials_frame

        return trials_frame(self)

    def epochs(self) -> "pd.DataFrame":
        """Return a row for each epoch of each trial; epoch 0 is the untrained network.

        Columns: ``trial_id``, ``dataset``, ``protocol``, ``label``, ``seed``; ``epoch``,
        ``retraining`` (whether it is of the network trained anew on all classes after the epoch was
        selected), ``selected`` (whether the metrics are of this epoch), ``loss`` (mean over the
        steps, NaN for epoch 0); ``<split>_positive`` and ``<split>_negative``, mean cosine
        distances (0 to 2) of pairs of one class and of different classes;
        ``validation_<metric>``, as fractions. The last three are NaN at epochs that the protocol
        does not have measured.
        """
        from dmlbench.api.frames import epochs_frame

        return epochs_frame(self)

    def queries(self) -> "pd.DataFrame":
        """Return a row for each query (test item) of each finished trial.

        Columns: ``trial_id``, ``dataset``, ``protocol``, ``label``, ``seed`` (categories, to save
        memory); ``query``, its place in the test split; and what the trial has of ``class`` (place
        among the sorted classes), ``relevant`` (R, items of its class in the gallery),
        ``best_rank`` (of the best positive, from 1; 0 where R is 0), ``hits`` (positives in the
        first R), ``average_precision`` (at R, a fraction), or ``correct`` (0 or 1, of the vote of
        neighbours). A column that only other trials have is NaN.

        Raises:
            DataError: the results by query of a record are damaged.
        """
        from dmlbench.api.frames import queries_frame

        return queries_frame(self)


def load_records(path: str | Path = RUNS) -> Records:
    """Return the records in a folder, sorted by path, or the one in a file.

    Files that can't be read are left out; `Records.damaged` says which, and why.

    Args:
        path: a folder, such as the ``runs`` of a run, with all folders in it; or a file.

    Raises:
        DataError: no record can be read there.

    Example:
        >>> import dmlbench
        >>> dmlbench.load_records("no-such-folder")
        Traceback (most recent call last):
        ...
        dmlbench.errors.DataError: There are no records in no-such-folder. Make some with \
`dmlbench run`.
    """
    from dmlbench.storage.record_store import Store, read_record

    path = Path(path).expanduser()
    if path.exists() and not path.is_dir():
        return Records([read_record(path)])
    records, damaged = Store(path).read_all()
    if damaged and not records:
        reasons = [str(error) for error in damaged[:_MOST_REASONS]]
        if len(damaged) > _MOST_REASONS:
            reasons.append(f"{counted(len(damaged) - _MOST_REASONS, 'more file')} can't be read.")
        raise DataError(f"There are no records in {path} that can be read. {' '.join(reasons)}")
    if not records:
        raise DataError(f"There are no records in {path}. Make some with `dmlbench run`.")
    return Records(records, damaged=damaged, folder=path)


def as_records(records: Iterable[Record] | str | Path) -> Records:
    """Return `records`, read from a path where they are one."""
    if isinstance(records, str | Path):
        return load_records(records)
    return records if isinstance(records, Records) else Records(records)
