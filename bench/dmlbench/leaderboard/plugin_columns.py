"""Columns that plugins add to leaderboards. A broken plugin loses its columns, nothing else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pluggy

from dmlbench.components.hook_plugins import call_alone, plugin_name, texts
from dmlbench.contracts.hooks import COLUMNS
from dmlbench.errors import PluginError, describe_exception
from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.leaderboard.rows import Row
from dmlbench.schemas.record import Record

ColumnSource = Callable[[Sequence[Record]], Mapping[str, str]]
"""From a row's records, one per seed, to texts by heading."""

Columns = ColumnSource | pluggy.PluginManager | None
"""Who adds columns: a function, or plugins that implement ``dmlbench_leaderboard_columns``."""


def column_sources(columns: Columns) -> dict[str, ColumnSource]:
    """Return the sources of columns by name: a function, or each plugin with the hook."""
    if columns is None:
        return {}
    if not isinstance(columns, pluggy.PluginManager):
        return {getattr(columns, "__name__", type(columns).__name__): columns}
    implementations = getattr(columns.hook, COLUMNS).get_hookimpls()
    plugins = [implementation.plugin for implementation in implementations]
    return {plugin_name(columns, plugin): _of_plugin(plugin) for plugin in plugins}


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
                told = str(error) if isinstance(error, PluginError) else describe_exception(error)
                reason = plain(told, 200)
                notes[f"Columns of {plain(name)} are missing: {reason}."] = None
                continue
            rows[place] = replace(row, extra={**row.extra, **extra})
    return rows, list(notes)


def _of_plugin(plugin: object) -> ColumnSource:
    def columns(records: Sequence[Record]) -> Mapping[str, str]:
        return call_alone(plugin, COLUMNS, {"records": records}) or {}

    return columns


def _checked(offered: Mapping[str, str], row: Row) -> dict[str, str]:
    """Return `offered` as harmless texts.

    Raises:
        PluginError: it is not a mapping from text to text, or a heading is taken.
    """
    harmless = {}
    for heading, text in texts(offered).items():
        if plain(heading, 40) in row.extra:
            raise PluginError(f"the heading {heading!r} is taken by another plugin")
        harmless[plain(heading, 40)] = plain(text, 120)
    return harmless
