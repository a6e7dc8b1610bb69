"""``dmlbench show``: a component, a hook plugin or a protocol in detail."""

import click

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.entry_points import KINDS


@click.command("show")
@click.argument("kind", metavar="KIND")
@click.argument("name")
@click.option("--dataset", metavar="NAME", help="Show a protocol with its values for a dataset.")
def command(kind: str, name: str, dataset: str | None) -> None:
    """Show the component NAME of a KIND (loss, miner, …), the hook plugin or the protocol NAME.

    For example: `dmlbench show loss triplet`, `dmlbench show protocol small`.
    """
    from dmlbench.errors import ConfigError, nearest

    if kind in ("protocol", "protocols"):
        from dmlbench.cli.show_protocol import show_protocol

        show_protocol(name, dataset)
        return
    if dataset:
        raise click.UsageError("--dataset goes with `show protocol`.")
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
