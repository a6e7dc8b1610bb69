"""How often a training step of each loss and miner makes the CPU wait for a GPU. Needs no GPU.

    python benchmarks/waits.py              # a minute; writes docs/measurements/gpu-waits.md

A wait is an operation whose result the CPU must know before it can go on: a value that is read, a
list whose length depends on values, a copy. Meanwhile it can't send the GPU its next kernels. The
step runs on a stand-in for the device (`dmlbench.testing.other_device`), which computes on the CPU
and takes the branches that a GPU would.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from dmlbench import Loss, Miner, Pairs, Selection, as_triplets
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import compose, make
from dmlbench.testing.other_device import OtherDevice
from dmlbench.testing.stand_ins import all_pairs
from dmlbench.training.objective import Objective, Summand

PAGE = Path(__file__).parents[1] / "docs" / "measurements" / "gpu-waits.md"
DIMENSION, CLASSES, PER_CLASS = 16, 8, 4
STEPS = 2
"""Steps counted, after as many to fill a memory; the most waits of one of them count."""


@cache
def _catalogue() -> Catalogue:
    return Catalogue.discover()


def losses() -> list[str]:
    """Return all shipped losses, those around another with the one that they are trained with."""
    installed = _catalogue().references("loss")
    return sorted({*installed, "xbm/contrastive"} - {"xbm"})


def miners() -> list[str]:
    """Return all shipped miners."""
    return sorted(_catalogue().references("miner"))


def waits_of_loss(name: str) -> Counter[str]:
    """Return the waits of a loss's step, forward and backward, its selection given."""
    composition = compose(_catalogue(), "loss", name)
    settings = {"warmup_steps": 0} if name.startswith("xbm/") else {}
    sizes = {"num_classes": CLASSES, "embedding_dim": DIMENSION}
    (loss,) = composition.make("loss", composition.resolve("loss", settings), **sizes)
    return most_waits(loss)


def waits_of_miner(name: str) -> Counter[str]:
    """Return the waits of a miner's selection, without those of a loss that takes it."""
    return most_waits(_Any(), make(_catalogue(), "miner", name, {}))


class _Any(Loss):
    """Takes every selection without a look at it."""

    takes = "pairs"

    def forward(self, pairs: Pairs, selection: object) -> Tensor:
        return pairs.anchors.sum()


class _Given(Miner):
    """Selects all pairs, by masks or as triplets by indices, without a count of its waits."""

    def __init__(self, makes: str, device: OtherDevice) -> None:
        self.makes = makes
        self.device = device

    def select(self, pairs: Pairs) -> Selection:
        with self.device.uncounted():
            chosen = all_pairs(pairs)
            return as_triplets(chosen) if self.makes == "triplets" else chosen


def most_waits(loss: Loss, miner: Miner | None = None) -> Counter[str]:
    """Return the waits of a training step on the stand-in, by what for.

    Args:
        loss: the loss, on the CPU.
        miner: the miner, which is counted too; without one, all pairs are selected for free.
    """
    found = []
    with OtherDevice() as device:
        selects = None if loss.takes == "labels" else miner or _Given(loss.takes, device)
        objective = Objective([Summand(loss, 1.0, selects)]).to(device.name).train()
        objective.start_epoch(*(each.to(device.name) for each in data(0)))
        for step in range(2 * STEPS):
            embeddings, labels = (each.to(device.name) for each in data(step))
            device.waits.clear()
            objective(embeddings.requires_grad_(), labels).backward()
            found.append(Counter(device.waits))
    return max(found[STEPS:], key=Counter.total)


def data(step: int) -> tuple[Tensor, Tensor]:
    """Return embeddings ``[B, D]`` of loose classes, and their labels, without duplicates."""
    generator = torch.Generator().manual_seed(step)
    labels = torch.arange(CLASSES).repeat_interleave(PER_CLASS)
    centres = torch.randn(CLASSES, DIMENSION, generator=torch.Generator().manual_seed(0))
    return centres[labels] + torch.randn(len(labels), DIMENSION, generator=generator), labels


def rows() -> Iterator[tuple[str, str, Counter[str]]]:
    """Yield the kind, the name and the waits of every shipped loss and miner."""
    for name in losses():
        yield "loss", name, waits_of_loss(name)
    for name in miners():
        yield "miner", name, waits_of_miner(name)


def page() -> str:
    """Return the page with the table."""
    from tabulate import tabulate

    counted = [*rows()]
    table = [
        [kind, name, found.total(), ", ".join(f"{n} {what}" for what, n in sorted(found.items()))]
        for kind, name, found in counted
        if found
    ]
    silent = {
        kind: ", ".join(name for k, name, found in counted if k == kind and not found)
        for kind in ("loss", "miner")
    }
    parts = [
        "# Waits for a GPU in a step",
        "Made by `benchmarks/waits.py` on a CPU, where a stand-in for the device counts what a "
        "GPU would make the CPU wait for in a training step: values read, lists whose length "
        "depends on values (`nonzero`, `unique`, an index by a mask), and copies that block. A "
        "loss is counted with its selection given, a miner without the loss that takes it; a step "
        "waits the sum of both. Counted from torch's code for CUDA and not timed: at 45 ms a step, "
        "a few waits cost little, but they rule CUDA graphs out. Losses that leave duplicates out "
        "wait once more in a batch that has some.",
        tabulate(table, ["kind", "name", "waits", "for"], tablefmt="github"),
        f"Losses that never wait: {silent['loss']}.",
        f"Miners that never wait: {silent['miner']}.",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Count, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=PAGE, help="markdown file to write")
    out: Path = parser.parse_args().out
    out.write_text(made := page(), encoding="utf-8")
    print(made)


if __name__ == "__main__":
    main()
