"""``dmlbench list``: what is installed, none of which it imports or reads without ``--long``."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import click

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.entry_points import KINDS, Entry

_PLURALS = {**KINDS, "hook": "hooks", "protocol": "protocols"}


def _plural(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return the plural of the kind that `value` names in the singular or the plural."""
    plural = None if value is None else _PLURALS.get(value, value)
    if plural is not None and plural not in _PLURALS.values():
        from dmlbench.errors import nearest

        raise click.BadParameter(f"There is no kind {value!r}.{nearest(plural, _PLURALS.values())}")
    return plural


@click.command("list")
@click.argument("kind", callback=_plural, required=False)
@click.option(
    "--long", is_flag=True, help="Import each one, and say what it is or why it is broken."
)
def command(kind: str | None, long: bool) -> None:
    """List all components, hooks and protocols, or those of one KIND: losses, miners, and so on."""
    catalogue = Catalogue.discover()
    plurals = [kind] if kind else [*_PLURALS.values()]
    if long:
        from dmlbench.components.first_import import try_first_imports

        try_first_imports(e for e in catalogue.entries if KINDS.get(e.kind, e.kind) in plurals)
    for plural in plurals:
        items = _protocols() if plural == "protocols" else _entries(catalogue, plural)
        click.echo(f"{plural.capitalize()} ({len(items)})")
        width = max((len(item.name) for item in items), default=0)
        for item in items:
            click.echo(f"  {item.name:<{width}}  {item.origin}")
            if long:
                for line in item.describe():
                    click.echo(f"      {line}")
        click.echo()


class _Item(NamedTuple):
    name: str
    origin: str
    describe: Callable[[], list[str]]


def _entries(catalogue: Catalogue, plural: str) -> list[_Item]:
    kind = {plural: kind for kind, plural in KINDS.items()}.get(plural, plural)
    return [
        _Item(reference, f"{entry.distribution} {entry.version}", partial(_description, entry))
        for reference, entry in zip(
            catalogue.references(kind), catalogue.of_kind(kind), strict=True
        )
    ]


def _description(entry: Entry) -> list[str]:
    from dmlbench.cli.describe import summary
    from dmlbench.components.importing import load_entry
    from dmlbench.errors import PluginError

    try:
        return summary(entry, load_entry(entry))
    except PluginError as error:
        return [f"BROKEN: {error}"]


def _protocols() -> list[_Item]:
    from dmlbench.schemas.shipped_protocols import protocol_names

    return [_Item(name, "dmlbench", partial(_choices, name)) for name in protocol_names()]


def _choices(name: str) -> list[str]:
    from dmlbench.schemas.protocol_file import load_protocol

    protocol = load_protocol(name)
    return [protocol.description, f"Source: {protocol.source}"]
