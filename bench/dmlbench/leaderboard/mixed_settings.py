"""Rows whose seeds were run in different ways: on a CPU and on a GPU, in two precisions."""

from collections.abc import Iterable, Iterator, Sequence

from dmlbench.counted import counted
from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.leaderboard.rows import Row
from dmlbench.schemas.record import Record

_MOST_ROWS = 3


def mixed_settings(rows: Iterable[Row]) -> list[str]:
    """Return a note on each way in which the seeds of a row were run in different settings.

    Such a row's interval holds the difference between the settings, too. A setting that a record
    does not tell is no difference: dmlbench once recorded fewer.
    """
    labels: dict[str, list[str]] = {}
    for row in rows:
        for text in _mixtures(row.finished):
            labels.setdefault(text, []).append(row.label)
    return [f"Not all seeds were run alike: {text} ({_few(of)})." for text, of in labels.items()]


def _mixtures(records: Sequence[Record]) -> Iterator[str]:
    """Yield ``device cpu (seeds 0, 1), cuda (seed 2)`` for each setting that differs."""
    for name in sorted(set().union(*(record.settings for record in records))):
        seeds: dict[str, list[str]] = {}
        for record in records:
            if (value := record.setting(name)) is not None:
                seeds.setdefault(plain(str(value)), []).append(str(record.trial.seed))
        if len(seeds) > 1:
            told = (
                f"{value} ({'seed' if len(some) == 1 else 'seeds'} {', '.join(some)})"
                for value, some in sorted(seeds.items())
            )
            yield f"{plain(name)} {', '.join(told)}"


def _few(labels: Sequence[str]) -> str:
    more = len(labels) - _MOST_ROWS
    told = ", ".join(labels[:_MOST_ROWS])
    return f"{told} and {counted(more, 'more row')}" if more > 0 else told
