"""Columns that plugins add to leaderboards. A broken plugin loses its columns, nothing else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pluggy

from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.leaderboard.rows import Row
from dmlbench.schemas.record import Record

ColumnSource = Callable[[Sequence[Record]], Mapping[str, str]]
"""From a row's records, one per seed, to texts by heading."""

Columns = ColumnSource | pluggy.PluginManager | None
"""Who adds columns: a function, or plugins that implement ``dmlbench_leaderboard_columns``."""

_HOOK = "dmlbench_leaderboard_columns"


def column_sources(columns: Columns) -> dict[str, ColumnSource]:
    """Return the sources of columns by name: a function, or each plugin with the hook."""
    if columns is None:
        return {}
    if not isinstance(columns, pluggy.PluginManager):
        return {getattr(columns, "__name__", type(columns).__name__): columns}
    implementations = getattr(columns.hook, _HOOK).get_hookimpls()
    plugins = [implementation.plugin for implementation in implementations]
    return {
        columns.get_name(plugin) or str(plugin): _of_plugin(columns, plugin, plugins)
        for plugin in plugins
    }


def add_columns(
    rows: Sequence[Row], sources: Mapping[str, ColumnSource]
) -> tuple[list[Row], list[str]]:
    """Return the rows of a table with the columns of `sources`, and a note on each that failed."""
    rows = list(rows)
    notes: dict[str, None] = {}
    for name, source in sorted(sources.items()):
        for place, row in enumerate(rows):
            try:
                extra = _checked(source(row.records), row)
            except Exception as error:  # a plugin may raise anything
                reason = plain(f"{type(error).__name__}: {error}", 200)
                notes[f"Columns of {plain(name)} are missing: {reason}."] = None
                continue
            rows[place] = replace(row, extra={**row.extra, **extra})
    return rows, list(notes)


def _of_plugin(
    manager: pluggy.PluginManager, plugin: object, plugins: Sequence[object]
) -> ColumnSource:
    """Return the hook as `plugin` alone implements it."""
    others = [other for other in plugins if other is not plugin]
    caller = manager.subset_hook_caller(_HOOK, others)

    def columns(records: Sequence[Record]) -> Mapping[str, str]:
        results = caller(records=records)
        return results[0] if results else {}  # pluggy leaves None out

    return columns


def _checked(offered: Mapping[str, str], row: Row) -> dict[str, str]:
    """Return `offered` as harmless texts.

    Raises:
        TypeError: it is not a mapping from text to text.
        ValueError: a heading is taken.
    """
    if not isinstance(offered, Mapping):
        raise TypeError(f"expected a mapping from heading to text, not {offered!r}")
    texts = {}
    for heading, text in offered.items():
        if not isinstance(heading, str) or not isinstance(text, str):
            raise TypeError(f"heading and text must be str, not {heading!r}: {text!r}")
        if plain(heading, 40) in row.extra:
            raise ValueError(f"the heading {heading!r} is taken by another plugin")
        texts[plain(heading, 40)] = plain(text, 120)
    return texts
