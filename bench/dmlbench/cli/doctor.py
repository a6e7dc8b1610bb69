"""``dmlbench doctor``: versions, devices, data, and plugins that can't be loaded."""

from pathlib import Path

import click

from dmlbench.cli.options import data_dir_option
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.entry_points import KINDS


@click.command("doctor")
@data_dir_option
def command(data_dir: Path | None) -> None:
    """Show what this machine has and what is broken; exit with 1 if a plugin is."""
    import torch

    from dmlbench.components.first_import import try_first_imports
    from dmlbench.components.hyperparameters import family_argument
    from dmlbench.components.importing import load_entry
    from dmlbench.compute.versions import versions
    from dmlbench.data.prepare.availability import how_to_get
    from dmlbench.errors import PluginError

    click.echo("Versions")
    for name, number in versions({}).items():
        click.echo(f"  {name} {number}")
    click.echo("\nDevices")
    click.echo(f"  cpu, {torch.get_num_threads()} threads")
    for index in range(torch.cuda.device_count()):
        click.echo(f"  cuda:{index}, {torch.cuda.get_device_name(index)}")
    catalogue = Catalogue.discover()
    try_first_imports(catalogue.entries)
    click.echo("\nData")
    broken = []
    for entry in catalogue.entries:
        try:
            component = load_entry(entry)
            if entry.kind == "dataset" and not family_argument(component):
                reason = how_to_get(entry, component, data_dir)
                click.echo(f"  {entry.name}: {reason or 'ready'}")
        except PluginError as error:
            broken.append(str(error))
    click.echo("\nPlugins")
    distributions = sorted({(entry.distribution, entry.version) for entry in catalogue.entries})
    for distribution, version in distributions:
        count = sum(entry.distribution == distribution for entry in catalogue.entries)
        click.echo(f"  {distribution} {version}: {count} components")
    for kind in KINDS:
        names = [entry.name for entry in catalogue.of_kind(kind)]
        for name in sorted({name for name in names if names.count(name) > 1}):
            options = [e.qualified for e in catalogue.of_kind(kind) if e.name == name]
            click.echo(f"  two packages offer the {kind} {name!r}: use {' or '.join(options)}")
    for reason in broken:
        click.echo(f"  BROKEN: {reason}")
    if broken:
        raise SystemExit(1)
