"""``dmlbench show``: a component, a hook plugin or a protocol in detail."""

import click

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.entry_points import KINDS


@click.command("show")
@click.argument("kind", metavar="KIND")
@click.argument("name")
def command(kind: str, name: str) -> None:
    """Show the component NAME of a KIND (loss, miner, …), the hook plugin or the protocol NAME.

    For example: `dmlbench show loss triplet`, `dmlbench show protocol small`.
    """
    from dmlbench.errors import ConfigError, nearest

    if kind in ("protocol", "protocols"):
        _show_protocol(name)
        return
    singular = {plural: kind for kind, plural in KINDS.items()} | {"hook": "hooks"}
    kind = singular.get(kind, kind)
    if kind not in (*KINDS, "hooks"):
        known = [*KINDS, "hook", "protocol"]
        raise ConfigError(f"There is no kind {kind!r}.{nearest(kind, known)}")
    from dmlbench.cli.describe import details

    if kind == "metric":
        from dmlbench.components.metrics import metric_reference

        name = metric_reference(name)
    found, component = Catalogue.discover().load(kind, name)
    click.echo("\n".join(details(found.entry, component)))


def _show_protocol(name: str) -> None:
    from dmlbench.schemas.protocol_file import load_protocol

    protocol = load_protocol(name)
    click.echo(f"protocol {protocol.name}\n{protocol.description}\nSource: {protocol.source}\n")
    for key, value in protocol.identity().items():
        if isinstance(value, dict):
            click.echo(f"{key}:")
            for field, inner in value.items():
                click.echo(f"  {field} = {_text(inner)}")
        else:
            click.echo(f"{key} = {_text(value)}")


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
