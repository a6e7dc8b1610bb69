"""A few training steps, by one process or by one of several, for one of each family of losses.

Run as a script with RANK set, it takes the steps of a process among others and writes them down.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from support.families import Grouped, gradients, network_of, objective_of
from support.small_training import CPU, ITEMS, protocol
from torch import Tensor

from dmlbench.compute.determinism import seed_everything
from dmlbench.compute.world import ALONE, HERE, World, joined, meeting_point
from dmlbench.data.batches.device_inputs import to_device_inputs
from dmlbench.data.batches.feed import Feed
from dmlbench.data.splits import with_consecutive_labels
from dmlbench.schemas.protocol import Augmentation
from dmlbench.schemas.trial import Trial
from dmlbench.training.embedder import embed
from dmlbench.training.step import Training, begin, take_step

LABELS = torch.from_numpy(with_consecutive_labels(ITEMS.labels)[0])
STEPS = [np.random.default_rng(step).permutation(24)[:17] for step in range(3)]
CHOICES = protocol(optimiser__name="sgd", optimiser__lr=1e-3).optimiser
AUGMENTED = Augmentation(shift=0.2, flip=True, brightness=0.2)

Taken = list[tuple[float, dict[str, Tensor]]]
"""Of each step: the loss and the gradients."""


def started(trial: Trial, dropout: float, world: World = ALONE) -> Training:
    """Return a training of a network with dropout before its first step."""
    model, objective = network_of(ITEMS, Grouped(dropout=dropout)), objective_of(trial)
    if objective.starts_epochs:
        objective.start_epoch(embed(model, ITEMS, CPU, world), LABELS)
    model.train()
    return begin(model, objective, CHOICES, world)


def steps(training: Training, chunk: int | None = None) -> Taken:
    """Take the steps, in chunks of so many images."""
    views = training.objective.views
    feed = Feed(to_device_inputs(ITEMS.inputs, CPU), AUGMENTED, "bilinear", (0, 3), views)
    feed = Feed(**(vars(feed) | {"chunk": chunk, "world": training.world}))
    seed_everything(7)
    inputs, taken = feed.batches(1, STEPS, passes=2), []
    for number, step in enumerate(STEPS):
        labels = LABELS[step].repeat(views)
        loss = take_step(training, inputs, labels, CHOICES, (0, number))
        taken.append((float(loss), gradients(training.model, training.objective)))
    assert next(inputs, None) is None
    return taken


def of_one_rank(asked: Path, rank: int, most: int) -> None:
    """Take the steps of each trial in `asked` among 2 and among `most` processes."""
    trials = {
        name: Trial.model_validate(one) for name, one in json.loads(asked.read_text()).items()
    }
    port = int(os.environ["MASTER_PORT"])
    store = meeting_point(HERE, port)
    found = {}
    for size in (2, most):
        if rank < size:
            world = World(rank, size)
            with joined(world, store, f"of {size}", CPU):
                for name, trial in trials.items():
                    found[size, name] = steps(started(trial, 0.0, world))
                found[size, "dropout"] = steps(started(trials["all pairs"], 0.4, world))
                found[size, "chunks"] = steps(started(trials["pairs"], 0.0, world), 2)
    torch.save(found, asked.with_name(f"{rank}.pt"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    of_one_rank(Path(sys.argv[1]), int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
