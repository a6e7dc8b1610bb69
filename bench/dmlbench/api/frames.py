"""Records as data frames; `Records` says what their columns are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dmlbench.errors import DataError
from dmlbench.schemas.record import Epoch, Record
from dmlbench.schemas.trial import ROW_KINDS

_NAMES = ("trial_id", "dataset", "protocol", "label", "seed")
_TRIAL = (
    *("trial_id", "row_id", "dataset", "fingerprint", "protocol", "label", *ROW_KINDS, "seed"),
    *("status", "reason", "collapsed", "selected_epoch", "seconds"),
)
_EPOCH = (*_NAMES, "epoch", "retraining", "selected", "loss")
_QUERY = ("query", "class", "relevant", "best_rank", "hits", "average_precision", "correct")


def trials_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return a row for each record."""
    frame = _frame([_trial(record) for record in records], _TRIAL)
    return frame.astype({"selected_epoch": "Int64"})


def epochs_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return a row for each epoch of each record."""
    rows = [
        _epoch(record, epoch)
        for record in records
        for epoch in (*record.epochs, *record.retraining)
    ]
    return _frame(rows, _EPOCH).astype({"loss": "float64"})


def queries_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return a row for each query of each record that has results by query."""
    scored = [record for record in records if record.per_query]
    results = [_results(record) for record in scored]
    names = _frame([_identity(record) for record in scored], _NAMES).astype("category")
    named = names.take(np.repeat(np.arange(len(scored)), [len(result) for result in results]))
    columns = pd.concat(results, ignore_index=True) if results else _frame([], ("query",))
    order = sorted(columns, key=_place)
    return pd.concat([named.reset_index(drop=True), columns[order]], axis=1)


def _frame(rows: Sequence[Mapping[str, Any]], first: Sequence[str]) -> pd.DataFrame:
    """Return a frame of `rows`: the columns `first`, even without a row, then others by name."""
    others = {key for row in rows for key in row} - set(first)
    return pd.DataFrame(list(rows), columns=[*first, *sorted(others)])


def _identity(record: Record) -> dict[str, Any]:
    trial = record.trial
    return {
        "trial_id": record.id,
        "dataset": str(trial.dataset),
        "protocol": trial.protocol.name,
        "label": trial.label,
        "seed": trial.seed,
    }


def _trial(record: Record) -> dict[str, Any]:
    trial = record.trial
    last = {f"last_epoch_{name}": value for name, value in record.last_epoch_metrics.items()}
    return {
        **record.metrics,
        **last,
        **_identity(record),
        "row_id": trial.row,
        "fingerprint": trial.fingerprint,
        **{kind: str(trial.parts[kind]) if kind in trial.parts else None for kind in ROW_KINDS},
        "status": record.status,
        "reason": record.reason,
        "collapsed": record.collapsed,
        "selected_epoch": record.selected_epoch,
        "seconds": record.seconds,
    }


def _epoch(record: Record, epoch: Epoch) -> dict[str, Any]:
    distances = {
        f"{split}_{which}": getattr(pair, which)
        for split, pair in epoch.distances.items()
        for which in ("positive", "negative")
    }
    return {
        **distances,
        **{f"validation_{name}": value for name, value in epoch.validation.items()},
        **_identity(record),
        "epoch": epoch.epoch,
        "retraining": epoch.retraining,
        "selected": epoch.epoch == record.selected_epoch
        and epoch.retraining == bool(record.retraining),
        "loss": epoch.loss,
    }


def _place(column: str) -> tuple[int, str]:
    place = _QUERY.index(column) if column in _QUERY else len(_QUERY)
    return place, column


def _results(record: Record) -> pd.DataFrame:
    arrays = {name: array.unpack() for name, array in record.per_query.items()}
    sizes = {len(array) for array in arrays.values()}
    if len(sizes) != 1:
        raise DataError(f"{record.trial}: its arrays of results by query differ in length.")
    return pd.DataFrame({"query": np.arange(sizes.pop()), **arrays})
