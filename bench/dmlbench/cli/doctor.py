"""``dmlbench doctor``: versions, devices, data, plugins that can't be loaded, what runs left."""

import shlex
from pathlib import Path

import click

from dmlbench.cli.options import cache_dir_option, data_dir_option, output_option
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.entry_points import KINDS
from dmlbench.counted import counted


@click.command("doctor")
@data_dir_option
@cache_dir_option
@output_option
@click.option(
    "--repair",
    is_flag=True,
    help="Remove what dead processes left in the output folder, and move damaged and foreign files "
    "to its folder quarantine/.",
)
def command(data_dir: Path | None, cache_dir: Path | None, output: Path, repair: bool) -> None:
    """Show what this machine has and what is broken; exit with 1 if something is."""
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
        click.echo(f"  {distribution} {version}: {counted(count, 'component')}")
    for kind in KINDS:
        names = [entry.name for entry in catalogue.of_kind(kind)]
        for name in sorted({name for name in names if names.count(name) > 1}):
            options = [e.qualified for e in catalogue.of_kind(kind) if e.name == name]
            click.echo(f"  two packages offer the {kind} {name!r}: use {' or '.join(options)}")
    for reason in broken:
        click.echo(f"  BROKEN: {reason}")
    _show_cache(cache_dir)
    left = _look_after(output, repair)
    if broken or left:
        raise SystemExit(1)


def _show_cache(cache_dir: Path | None) -> None:
    from dmlbench.errors import ConfigError
    from dmlbench.storage.cache import cache_folder
    from dmlbench.storage.cache_contents import KINDS, cached_files, size_text

    try:
        cache = cache_folder(cache_dir)
    except ConfigError as error:
        click.echo(f"\nCache\n  {error}")
        return
    click.echo(f"\nCache in {cache}")
    files = cached_files(cache)
    for kind, what in KINDS.items():
        sizes = [file.size for file in files if file.kind == kind]
        click.echo(f"  {what}: {counted(len(sizes), 'file')}, {size_text(sum(sizes))}")


def _look_after(output: Path, repair: bool) -> bool:
    """Show what is wrong in `output`, mend it if asked to; return whether something still is."""
    from dmlbench.api.defaults import LEADERBOARDS, RUNS
    from dmlbench.storage import repair as repairs

    click.echo(f"\nOutput in {output.absolute()}")
    faults = repairs.find_faults(output, RUNS, LEADERBOARDS)
    for fault in faults:
        line = f"  {fault.path.relative_to(output)}: {fault.what}"
        if repair:
            there = repairs.repair(fault, output)
            line += f"; moved to {there.relative_to(output)}" if there else "; removed"
        click.echo(line)
    if not faults:
        click.echo("  nothing is damaged or left over")
    elif not repair:
        command = shlex.join(("dmlbench", "doctor", "--repair", "--output", str(output)))
        click.echo(f"  To remove what is left over, and put the rest aside: {command}")
    return bool(faults) and not repair
