"""Writes ``full-grid.md``: what all losses on the four photo sets take, on 1, 8 and 256 GPUs.

python docs/make_full_grid.py
"""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from dmlbench.components.catalogue import Catalogue
from dmlbench.data.batches.device_inputs import RESIDENT_SHARE
from dmlbench.data.items import Data, Items
from dmlbench.planning.cost import makespan
from dmlbench.planning.cost_text import duration
from dmlbench.schemas.plan import Workload
from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.protocol_file import read_protocol_file
from dmlbench.training.workload import workload

HERE = Path(__file__).parent
PAGE = HERE / "full-grid.md"
PROTOCOLS = ("resnet50-512", "vit-small-384")
SEEDS = 5
CARDS = (1, 8, 256)


def page() -> str:
    """Return the whole page."""
    known = tomllib.loads((HERE / "full-grid.toml").read_text())
    views = _views()
    loads = {(p, s): _workload(p, s, known["sets"][s]) for p in PROTOCOLS for s in known["sets"]}
    seconds = {
        (p, s): [_on_card(known, p, load, each) for each in views] for (p, s), load in loads.items()
    }
    trials = {p: [t for s in known["sets"] for t in seconds[p, s]] * SEEDS for p in PROTOCOLS}
    parts = [
        _head(known, len(views), sum(map(len, trials.values()))),
        _trial_table(known, loads, seconds),
        "## On 1, 8 and 256 cards\n\n"
        "Trials are independent, so each takes one card, and no card waits for another. The longest"
        " are drawn first.",
        _card_table(trials),
        _layouts(),
        _breaks(known, seconds, trials),
        _cpu(known, loads, len(views)),
    ]
    made = "<!-- Made by docs/make_full_grid.py from docs/full-grid.toml; a test compares them. -->"
    return "\n\n".join([made, *(part.strip() for part in parts)]) + "\n"


def _views() -> list[int]:
    """Return how many augmentations of an image each loss takes."""
    catalogue = Catalogue.discover()
    losses = [catalogue.load("loss", name)[1] for name in catalogue.references("loss")]
    return [getattr(loss, "views", 1) for loss in losses]


def _protocol(name: str, dataset: str) -> Protocol:
    return read_protocol_file(name).resolved(dataset)


def _workload(name: str, dataset: str, splits: dict[str, list[int]]) -> Workload:
    """Return the workload of a trial, of classes that are as even as can be."""
    labels = {split: np.arange(items) % classes for split, (items, classes) in splits.items()}
    made = {split: Items(np.empty((len(some), 0)), some) for split, some in labels.items()}
    found = workload(_protocol(name, dataset), Data(made, (), ""))
    assert found is not None
    return found


def _on_card(known: dict[str, Any], name: str, load: Workload, views: int) -> float:
    card = known["card"]
    embedded = load.measured + load.tested
    return float(views * load.learnt / card["training"][name] + embedded / card["inference"][name])


def _head(known: dict[str, Any], losses: int, trials: int) -> str:
    card = known["card"]
    return f"""# The full grid

All {losses} losses on CUB, Cars, SOP and In-Shop, with {SEEDS} seeds, by `resnet50-512` and by
`vit-small-384`: {trials:,} trials. **No trial of it has run, and dmlbench has never run on a
GPU.** This page says which figures are measured and which are computed:

- *Images* are counted by the function that `--dry-run` prints, from the protocols and the
  official sizes of the splits, with classes of even size.
- *GPU hours* are computed: those images over the throughput of an {card["name"]} that timm's
  author published ([`results/`]({card["source"]}): `{card["training_file"]}` and
  `{card["inference_file"]}`, mixed precision, channels last, batches of 384 to 1,024, an ImageNet
  head). They are the least that the network alone takes there. A run adds deterministic kernels,
  crops, the loss, checkpoints and searches, which `--probe` on your card measures.
- *CPU seconds* and *planning* are measured on the processor named.
- Nothing is scaled to other cards: multiply by their throughput beside that of this one."""


def _trial_table(
    known: dict[str, Any],
    loads: dict[tuple[str, str], Workload],
    seconds: dict[tuple[str, str], list[float]],
) -> str:
    rows = [
        [
            f"`{name}`",
            dataset,
            f"{load.learnt:,}",
            f"{load.measured:,}",
            f"{load.tested:,}",
            f"{min(seconds[name, dataset]) / 60:.0f} min",
            f"{SEEDS * sum(seconds[name, dataset]) / 3600:,.0f} h",
        ]
        for (name, dataset), load in loads.items()
    ]
    card = known["card"]["name"]
    headings = ["protocol", "set", "learnt", "validated", "tested", f"a trial, {card}", "all rows"]
    return "## One trial\n\n" + tabulate(rows, headings, tablefmt="pipe", disable_numparse=True)


def _card_table(trials: dict[str, list[float]]) -> str:
    both = [seconds for some in trials.values() for seconds in some]
    rows = []
    for name, some in [*((f"`{name}`", some) for name, some in trials.items()), ("both", both)]:
        times = [duration(makespan(sorted(some, reverse=True), cards)) for cards in CARDS]
        rows.append([name, f"{len(some):,}", f"{sum(some) / 3600:,.0f}", *times])
    cards = [f"{count} card{'s' * (count > 1)}" for count in CARDS]
    headings = ["protocol", "trials", "GPU hours", *cards]
    return tabulate(rows, headings, tablefmt="pipe", disable_numparse=True)


def _layouts() -> str:
    return """One option changes ([where trials run](executors.md)):

- **1 card**: one `dmlbench run`.
- **8 cards of one machine**: with `--devices all`.
- **256 cards**: `--executor slurm --set executor.gpus_per_node=8 --set executor.jobs=32`, or
  `--executor ray`, with `--output` on storage that all machines share, and a `--cache-dir` on a
  disk of each machine's own. Without either, start the command of one machine on all of them: runs
  on one folder share the work, as each draws the trials that no other has taken.

Whichever dies loses what it did since its last checkpoint; the same command goes on."""


def _breaks(
    known: dict[str, Any],
    seconds: dict[tuple[str, str], list[float]],
    trials: dict[str, list[float]],
) -> str:
    photos, sets, run, plan = (known[name] for name in ("photos", "sets", "run", "planning"))
    count = {name: sum(items for items, _ in splits.values()) for name, splits in sets.items()}
    at_256 = {n for n in count if (_protocol(PROTOCOLS[0], n).crops_from or 0) <= 256}
    low, high = (
        sum(count[n] * (photos["kb_at_256"] if n in at_256 else kb) for n in count) / 1e6
        for kb in photos["kb_at_512"]
    )
    sop = count["sop"] * photos["kb_at_256"] / 1e6
    room = RESIDENT_SHARE * known["card"]["memory_gib"] * 2**30 / 1e9
    rate = known["card"]["training"][PROTOCOLS[0]]
    cores = [rate * ms / 1000 for ms in photos["crop_ms"]]
    decoding = [sum(count.values()) * ms / 3.6e6 for ms in photos["decoding_ms"]]
    everything = [one for some in trials.values() for one in some]
    longest = max(everything)
    ideal, span = sum(everything) / CARDS[-1], makespan(sorted(everything, reverse=True), CARDS[-1])
    total = len(everything)
    return f"""## What breaks first

As far as counting shows, in this order:

1. **The host's cores.** A store of SOP has {sop:.0f} GB, and photos stay on a card only where
   they fit in {RESIDENT_SHARE:.0%} of its free memory ({room:.0f} GB at most here), so the host
   cuts the crops. A crop takes {photos["crop_ms"][0]} to {photos["crop_ms"][1]} ms of a core
   ([measured](measurements/photo-stores.md)), so at the published {rate:,.0f} images a second a
   card keeps {cores[0]:.1f} to {cores[1]:.1f} cores busy (computed): 8 cards need 8 or more cores
   beside those of the processes themselves.
2. **Disk and its cache, on every machine.** The stores of the four sets take {low:.0f} to
   {high:.0f} GB (photos counted; a photo measured at 500x375 to 1024x768, so less where they are
   smaller), and decoding them {decoding[0]:.1f} to {decoding[1]:.1f} core hours, once a machine
   (computed). Where they are larger than the memory, crops wait for the disk.
3. **The longest trial, on 256 cards.** One of SOP with two views of each image takes
   {duration(longest)} at least, and the whole grid {duration(span)}, where {duration(ideal)}
   would do if trials could be cut (computed). Beyond that, more cards bring nothing.
4. **Losses that embed all items at the start of an epoch** (`magnet`), and samplers that do, take
   {_epochs_of("sop")} passes over the training items that no column above holds.

What does not break, as measured here: {plan["trials"]:,} trials with their cost and order are
planned in {plan["seconds"]:.0f} s of a core and {plan["memory_mib"]} MiB; a dry run of 558 trials
on sets of the official sizes takes {plan["dry_run_seconds"]:.0f} s. A word of a worker costs the
run {run["word_ms"]} ms, so 256 of them that each say one a second take
{256 * run["word_ms"] / 10:.1f} % of a core. {total:,} records of at most {run["record_kib"]} KiB
are {total * run["record_kib"] / 2**20:.1f} GiB. How a shared file system bears the claims of 256
runs was not measured."""


def _epochs_of(dataset: str) -> int:
    return max(_protocol(name, dataset).length.epochs for name in PROTOCOLS)


def _cpu(known: dict[str, Any], loads: dict[tuple[str, str], Workload], losses: int) -> str:
    cpu = known["cpu"]
    rows = []
    for name in PROTOCOLS:
        mine = [load for (protocol, _), load in loads.items() if protocol == name]
        learnt, embedded = cpu["training"][name], cpu["inference"][name]
        days = (
            sum(load.learnt * learnt + (load.measured + load.tested) * embedded for load in mine)
            / 86400
        )
        grid = days * losses * SEEDS
        rows.append([f"`{name}`", f"{learnt} s", f"{embedded} s", f"{grid / 365:,.1f} years"])
    table = tabulate(
        rows,
        ["protocol", "an image learnt", "embedded", "the grid, one core"],
        tablefmt="pipe",
        disable_numparse=True,
    )
    return f"""## Without a GPU

Steps were measured on {cpu["name"]}, in float32; the last column is computed from them. A linear
head on frozen features (`--protocol frozen`) is what a CPU can pay.

{table}"""


if __name__ == "__main__":
    PAGE.write_text(page())
