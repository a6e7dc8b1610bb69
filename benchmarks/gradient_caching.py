"""Peak memory and time of training steps with and without gradient caching, by batch size.

A network without trained batch statistics, ResNet-18 at 64 pixels from random weights, takes a
step in a process of its own. Memory is counted above what the process has before the first step,
with weights, optimiser and pictures. What the loss alone takes is measured beside it, on embeddings
that nothing came before.

    python -m benchmarks.gradient_caching > docs/measurements/gradient-caching.md
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import psutil
import torch
from torch import Tensor

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.compute.determinism import repeatable, seed_everything
from dmlbench.compute.device import processor
from dmlbench.compute.memory import peaks
from dmlbench.data.batches.device_inputs import to_device_inputs
from dmlbench.data.batches.feed import Feed
from dmlbench.data.items import Items
from dmlbench.schemas.protocol import Augmentation
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.trial import Part
from dmlbench.training.embedder import Embedder
from dmlbench.training.objective import Objective, combine
from dmlbench.training.step import begin, take_step

CPU = torch.device("cpu")
BATCHES, CHUNK, SIDE, DIMENSIONS, PER_CLASS = (256, 4096), 64, 64, 128, 4
LOSSES = ("multi-similarity", "proxy-anchor", "smooth-ap")
LIMIT = 1.3


def main() -> None:
    """Measure everything and print the page, or one line for what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", nargs=4, metavar=("WHAT", "LOSS", "BATCH", "CHUNK"))
    asked = parser.parse_args()
    if asked.one:
        what, loss, batch, chunk = asked.one
        with repeatable(CPU):
            run = loss_alone if what == "loss" else step
            print(*run(loss, int(batch), int(chunk) or None))
    else:
        print("\n".join(page()))


def page() -> Iterator[str]:
    """Yield the lines of the page of measurements."""
    yield "# What gradient caching costs, and what it saves\n"
    yield (
        f"A training step of ResNet-18 (`timm/resnet18`, random weights, frozen statistics) on "
        f"{SIDE} x {SIDE} pixels, float32, AdamW, {DIMENSIONS} dimensions, {PER_CLASS} images a "
        f"class, in a process of its own on one thread of {processor()}. Memory is the peak above "
        "what the process holds before. `python -m benchmarks.gradient_caching` "
        "measures again.\n"
    )
    yield "| loss | batch | chunk | peak, MiB | loss alone, MiB | s |"
    yield "|---|---|---|---|---|---|"
    verdicts = []
    for loss in LOSSES:
        peak = {}
        for batch, chunk in ((BATCHES[0], None), *((batch, CHUNK) for batch in BATCHES)):
            mib, seconds = measured("step", loss, batch, chunk)
            (alone,) = measured("loss", loss, batch, None)
            peak[batch, chunk] = mib
            shown = chunk or "none"
            yield f"| {loss} | {batch:,} | {shown} | {mib:,.0f} | {alone:,.0f} | {seconds:.1f} |"
        small, large = (peak[batch, CHUNK] for batch in BATCHES)
        verdicts.append((loss, small, large, alone))
    yield ""
    for loss, small, large, alone in verdicts:
        most = LIMIT * small + alone
        said = "below" if large < most else "NOT BELOW"
        yield (
            f"- {loss}: in chunks of {CHUNK}, the peak at {BATCHES[1]:,} images is {large:,.0f} "
            f"MiB, {said} {LIMIT} times that at {BATCHES[0]:,} images and what the loss takes "
            f"alone ({LIMIT} x {small:,.0f} + {alone:,.0f} = {most:,.0f} MiB)."
        )
    yield (
        f"\nWhat a loss takes alone is mostly matrices of batch by batch numbers, "
        f"{4 * BATCHES[1] ** 2 / 2**20:,.0f} MiB each at {BATCHES[1]:,} images; of proxy-anchor, "
        "batch by classes. It is needed between the two passes, when no chunk is in memory: the "
        "larger of the two decides the peak. Whole batches take memory in proportion to their size."
    )


def measured(what: str, loss: str, batch: int, chunk: int | None) -> list[float]:
    """Return what a process of its own measures."""
    command = [sys.executable, "-m", "benchmarks.gradient_caching"]
    asked = ["--one", what, loss, str(batch), str(chunk or 0)]
    done = subprocess.run([*command, *asked], capture_output=True, text=True, check=True)
    return [float(number) for number in done.stdout.split()]


def objective_of(loss: str, classes: int) -> Objective:
    """Return a loss with its own miner."""
    workplace = Workplace(Catalogue.discover(), None, CPU)
    qualified = workplace.catalogue.qualify("loss", loss, "dmlbench")
    losses, weights = workplace.make_terms(
        "loss", Part(reference=qualified, name=loss), num_classes=classes, embedding_dim=DIMENSIONS
    )
    miners = []
    if losses[0].default_miner:
        miner = workplace.catalogue.qualify("miner", losses[0].default_miner, "dmlbench")
        miners = [workplace.make("miner", Part(reference=miner, name=miner))]
    return combine(losses, weights, miners)


def loss_alone(loss: str, batch: int, chunk: int | None) -> list[float]:
    """Return the peak memory of a loss and its gradient, in MiB."""
    seed_everything(0)
    objective = objective_of(loss, batch // PER_CLASS)
    objective(torch.randn(8, DIMENSIONS, requires_grad=True), torch.arange(8) // 2).backward()
    given = torch.randn(batch, DIMENSIONS, requires_grad=True)
    return [peak_above(lambda: objective(given, labels_of(batch)).backward())]


def step(loss: str, batch: int, chunk: int | None) -> list[float]:
    """Return the peak memory of a training step in MiB, and its seconds."""
    seed_everything(0)
    rng = np.random.default_rng(0)
    pictures = rng.integers(256, size=(batch, 3, SIDE, SIDE), dtype=np.uint8)
    items = Items(pictures, np.arange(batch) // PER_CLASS)
    workplace = Workplace(Catalogue.discover(), None, CPU)
    resnet = workplace.catalogue.qualify("backbone", "timm/resnet18", "dmlbench")
    settings = {"weights": "none", "batch_norm": "frozen-statistics"}
    part = Part(reference=resnet, name="timm/resnet18", settings=settings)
    model = Embedder(workplace.make("backbone", part), items, DIMENSIONS).train()
    choices = load_protocol("small").optimiser
    training = begin(model, objective_of(loss, batch // PER_CLASS), choices)
    augmentation = Augmentation(shift=0.1, flip=True)
    inputs = to_device_inputs(items.inputs, CPU)
    feed = Feed(inputs, augmentation, "bilinear", (0, 3), chunk=chunk)
    index = [np.arange(8), rng.permutation(batch)]
    made = feed.batches(1, index, passes=2)
    labels = labels_of(batch)
    take_step(training, made, labels[:8], choices)  # makes the optimiser's state
    own, began = labels[torch.from_numpy(index[1])], time.perf_counter()
    peak = peak_above(lambda: take_step(training, made, own, choices))
    return [peak, time.perf_counter() - began]


def labels_of(batch: int) -> Tensor:
    """Return the classes of a batch ``[B]``."""
    return torch.arange(batch) // PER_CLASS


def peak_above(run: Callable[[], object]) -> float:
    """Return the most memory that this process takes during `run`, above what it holds, in MiB."""
    held = psutil.Process().memory_info().rss
    with peaks(CPU) as most:
        run()
    return most["peak_memory_mib"] - held / 2**20


if __name__ == "__main__":
    main()
