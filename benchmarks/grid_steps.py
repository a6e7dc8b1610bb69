"""What the figures of docs/full-grid.toml that are measured are: steps, and news of a trial.

    python benchmarks/grid_steps.py

Times a training step of the networks of two protocols on one core, with few images, as the full
batch takes minutes; and what the driver of a run pays for each word of a worker.
"""

import pickle
import time

import numpy as np
import torch

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import compose, make
from dmlbench.components.hook_plugins import empty_manager, notify
from dmlbench.compute.determinism import repeatable, seed_everything
from dmlbench.contracts.executor import Doing, Event
from dmlbench.data.items import Items
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.testing.quick_trials import trial
from dmlbench.training.embedder import Embedder
from dmlbench.training.objective import combine
from dmlbench.training.step import begin, take_step

PROTOCOLS = ("resnet50-512", "vit-small-384")
IMAGES = 8
WORDS = 500


def main() -> None:
    """Print the figures."""
    for name in PROTOCOLS:
        learnt, embedded = seconds_an_image(name)
        print(f"{name}: {learnt:.3f} s an image in training, {embedded:.3f} s embedded")
    print(f"a word of a worker: {1000 * seconds_a_word():.2f} ms of the driver")


def seconds_an_image(name: str) -> tuple[float, float]:
    """Return the processor's seconds of an image in a training step, and embedded."""
    protocol, catalogue, cpu = load_protocol(name), Catalogue.discover(), torch.device("cpu")
    side = protocol.image_size
    images = np.random.default_rng(0).integers(256, size=(IMAGES, 3, side, side), dtype=np.uint8)
    items = Items(images, np.arange(IMAGES) // 2)
    with repeatable(cpu):
        seed_everything(0)
        backbone = make(catalogue, "backbone", protocol.backbone, protocol.backbone_settings)
        model = Embedder(backbone.without_weights(), items, protocol.embedding_dim)
        composed = compose(catalogue, "loss", "contrastive")
        miner = compose(catalogue, "miner", "all-pairs")
        losses = composed.make("loss", composed.resolve("loss", {}))
        miners = miner.make("miner", miner.resolve("miner", {}))
        objective = combine(losses, [1.0], miners)
        training = begin(model, objective, protocol.optimiser)
        batch, labels = torch.from_numpy(images), torch.from_numpy(items.labels.copy())
        model.train()
        take_step(training, batch, labels, protocol.optimiser)
        began = time.process_time()
        take_step(training, batch, labels, protocol.optimiser)
        learnt = time.process_time() - began
        model.eval()
        began = time.process_time()
        with torch.no_grad():
            model(batch)
        return learnt / IMAGES, (time.process_time() - began) / IMAGES


def seconds_a_word() -> float:
    """Return what it takes a run to read one event ``doing`` and to tell its hooks."""
    hooks = empty_manager()
    message = pickle.dumps(Event("doing", trial(0), doing=Doing("training", 1, 80, "steps")))
    began = time.process_time()
    for _ in range(WORDS):
        event = pickle.loads(message)
        notify(hooks, "dmlbench_trial_progressed", trial=event.trial, doing=event.doing)
    return (time.process_time() - began) / WORDS


if __name__ == "__main__":
    main()
