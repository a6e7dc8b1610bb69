"""``dmlbench list``: the installed components, none of which it imports without ``--long``."""

import click

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.entry_points import KINDS, Entry

_KIND_OF = {**{plural: kind for kind, plural in KINDS.items()}, **{kind: kind for kind in KINDS}}


def _kind(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return the kind that `value` names in the singular or the plural."""
    if value is not None and value not in _KIND_OF:
        from dmlbench.errors import nearest

        raise click.BadParameter(f"There is no kind {value!r}.{nearest(value, KINDS.values())}")
    return None if value is None else _KIND_OF[value]


@click.command("list")
@click.argument("kind", callback=_kind, required=False)
@click.option(
    "--long", is_flag=True, help="Import each one, and say what it is or why it is broken."
)
def command(kind: str | None, long: bool) -> None:
    """List all components, or those of one KIND: losses, miners, samplers, and so on."""
    catalogue = Catalogue.discover()
    for each in [kind] if kind else KINDS:
        entries = catalogue.of_kind(each)
        click.echo(f"{KINDS[each].capitalize()} ({len(entries)})")
        references = catalogue.references(each)
        width = max(map(len, references), default=0)
        for reference, entry in zip(references, entries, strict=True):
            click.echo(f"  {reference:<{width}}  {entry.distribution} {entry.version}")
            if long:
                for line in _description(entry):
                    click.echo(f"      {line}")
        click.echo()


def _description(entry: Entry) -> list[str]:
    from dmlbench.cli.describe import summary
    from dmlbench.components.importing import load_entry
    from dmlbench.errors import PluginError

    try:
        return summary(entry, load_entry(entry))
    except PluginError as error:
        return [f"BROKEN: {error}"]
