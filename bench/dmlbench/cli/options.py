"""Options that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from dmlbench.api.defaults import DATA_VARIABLE, DEVICE, OUTPUT
from dmlbench.cli.quantity import MEBIBYTES, SECONDS, Quantity

_Function = TypeVar("_Function", bound=Callable[..., Any])

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar=DATA_VARIABLE,
    help="Folder with your copies of datasets (else the variable DMLBENCH_DATA).",
)

cache_dir_option = click.option(
    "--cache-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to keep decoded photos and features in (else the variable DMLBENCH_CACHE, else "
    "~/.cache).",
)

output_option = click.option(
    "--output",
    type=click.Path(file_okay=True, path_type=Path),
    default=OUTPUT,
    help="Folder to write runs/ and leaderboards/ to; the current one if not given.",
)

device_option = click.option(
    "--device", default=DEVICE, show_default=True, help="cpu, cuda, cuda:1 …"
)

devices_option = click.option(
    "--devices",
    metavar="NAMES",
    help="Several, for workers to take turns: cuda:0,cuda:1; cuda:0,cuda:0 for two trials at a "
    "time on one; 'all': every GPU.",
)

jobs_option = click.option(
    "--jobs", type=click.IntRange(0), help="Worker processes; 0: run the trials in this process."
)

chunk_option = click.option(
    "--chunk",
    type=click.IntRange(1),
    metavar="N",
    help="Most images that pass through a network at a time; larger batches are trained exactly, "
    "in less memory and more time (gradient caching).",
)

devices_per_trial_option = click.option(
    "--devices-per-trial",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    help="Train each network on N GPUs, or in N processes on a CPU: each takes a share of every "
    "batch, and the loss is that of the whole batch.",
)

isolate_option = click.option(
    "--isolate",
    is_flag=True,
    help="Give every trial a process of its own; each takes some seconds to start.",
)

trial_timeout_option = click.option(
    "--trial-timeout",
    type=Quantity("time", SECONDS, "s"),
    help="Let a trial fail that takes longer: 90 (seconds), 30m, 2h.",
)

trial_memory_option = click.option(
    "--trial-memory",
    type=Quantity("memory", MEBIBYTES, "MiB"),
    help="Let a trial fail that takes more memory: 4000 (MiB), 8GiB.",
)


def worker_options(command: _Function) -> _Function:
    """Add the options on processes, what a trial may take of them, and where it computes."""
    limits = (trial_timeout_option, trial_memory_option)
    devices = (device_option, devices_option, devices_per_trial_option, chunk_option)
    for option in reversed((jobs_option, isolate_option, *limits, *devices)):
        command = option(command)
    return command


def _metrics(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    names = [part.strip() for value in values for part in value.split(",")]
    if not all(names):
        raise click.BadParameter("it names nothing.")
    return tuple(dict.fromkeys(names))


metrics_option = click.option(
    "--metrics",
    multiple=True,
    metavar="NAME",
    callback=_metrics,
    help="More metrics, such as map,mrr,nmi, or those of plugins. Repeat it, or use commas.",
)
