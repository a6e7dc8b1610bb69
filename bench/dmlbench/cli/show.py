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

    For example: `dmlbench show loss triplet`, `dmlbench show protocol small`, or `dmlbench show
    backbone timm/resnet50` for the size of a network and what it was trained on.
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
    from dmlbench.components.hyperparameters import family_argument

    if kind == "metric":
        from dmlbench.components.metrics import metric_reference

        name = metric_reference(name)
    catalogue = Catalogue.discover()
    found, component = catalogue.load(kind, name)
    click.echo("\n".join(details(found.entry, component)))
    if kind == "backbone" and (found.argument or not family_argument(component)):
        from dmlbench.cli.backbone_facts import backbone_facts
        from dmlbench.components.composition import make

        facts = backbone_facts(make(catalogue, kind, name, {}))
        click.echo("\n".join(["", *(f"{topic}: {fact}" for topic, fact in facts.items())]))
