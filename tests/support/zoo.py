"""Small components for the tests of the harness: some behave, some do everything wrong."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import datasets
import numpy as np
import torch
from torch import Tensor, nn

from dmlbench import (
    Backbone,
    Dataset,
    Loss,
    Miner,
    PairMask,
    Pairs,
    Sampler,
    Selection,
    Uniform,
    as_pair_mask,
    masked_mean,
)


def table(images: np.ndarray, labels: np.ndarray, names: list[str]) -> datasets.Dataset:
    """Return grey images ``[N, H, W]`` and their labels as a Hugging Face dataset."""
    features = datasets.Features(
        image=datasets.Array2D(images.shape[1:], "uint8"), label=datasets.ClassLabel(names=names)
    )
    return datasets.Dataset.from_dict(
        {"image": list(images), "label": labels.tolist()}, features=features
    )


class Patterns(Dataset):
    """Noisy copies of one random 8x8 pattern a class; as many classes to learn as to retrieve."""

    def __init__(self, *, classes: int = 4, noise: Annotated[float, Uniform(0, 500)] = 60.0):
        self.classes = classes
        self.noise = noise

    def load(self, data_dir: Path | None) -> dict[str, datasets.Dataset]:
        rng = np.random.default_rng(3)
        names = [f"pattern {number}" for number in range(2 * self.classes)]
        patterns = rng.integers(256, size=(len(names), 8, 8))
        labels = np.repeat(np.arange(len(names)), 6)
        noisy = patterns[labels] + rng.normal(0, self.noise, (len(labels), 8, 8))
        images = noisy.clip(0, 255).astype(np.uint8)
        learnt = labels < self.classes
        return {
            "train": table(images[learnt], labels[learnt], names),
            "test": table(images[~learnt], labels[~learnt], names),
        }


class Absent(Patterns):
    """Patterns whose data are not on this machine."""

    def missing(self, data_dir: Path | None) -> str:
        return "put the patterns into --data-dir."


class Failing(Patterns):
    """Patterns whose reader has a bug."""

    def load(self, data_dir: Path | None) -> dict[str, datasets.Dataset]:
        raise KeyError("patterns")


class Pull(Loss):
    """Positives together, negatives apart, by cosine similarity."""

    takes = "pairs"
    default_miner = "all-pairs"

    def __init__(self, *, weight: Annotated[float, Uniform(0.0, 10.0)] = 1.0):
        super().__init__()
        self.weight = weight

    def forward(self, pairs: Pairs, selection: Selection | None) -> Tensor:
        chosen = as_pair_mask(selection, pairs)
        apart = masked_mean(pairs.similarity, chosen.negative)
        return self.weight * apart - masked_mean(pairs.similarity, chosen.positive)


class Proxies(Loss):
    """A softmax over one proxy a class."""

    takes = "labels"
    own_lr_multiple = 10.0

    def __init__(self, *, num_classes: int, embedding_dim: int):
        super().__init__()
        self.proxies = nn.Parameter(torch.randn(num_classes, embedding_dim))

    def forward(self, pairs: Pairs, selection: Selection | None) -> Tensor:
        return nn.functional.cross_entropy(pairs.anchors @ self.proxies.T, pairs.labels)


class NotANumber(Pull):
    """A loss that is NaN from its fifth step on."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def forward(self, pairs: Pairs, selection: Selection | None) -> Tensor:
        self.steps += 1
        value = super().forward(pairs, selection)
        return value * torch.nan if self.steps >= 5 else value


class Raising(Pull):
    """A loss with a bug."""

    def forward(self, pairs: Pairs, selection: Selection | None) -> Tensor:
        return {}["forward"]  # the line that the reason must name


class Exiting(Pull):
    """A loss that ends the interpreter."""

    def forward(self, pairs: Pairs, selection: Selection | None) -> Tensor:
        sys.exit(7)


class Interrupted(Pull):
    """A loss during which the user presses Ctrl-C."""

    def forward(self, pairs: Pairs, selection: Selection | None) -> Tensor:
        signal.raise_signal(signal.SIGINT)
        return super().forward(pairs, selection)


class SwallowingAnInterrupt(Interrupted):
    """The same, and the loss takes it for an error of its own."""

    def forward(self, pairs: Pairs, selection: Selection | None) -> Tensor:
        try:
            return super().forward(pairs, selection)
        except BaseException:
            return Pull.forward(self, pairs, selection)


class Vanishing(Pull):
    """A loss that ends the process without a word."""

    def forward(self, pairs: Pairs, selection: Selection | None) -> Tensor:
        os._exit(3)


class Killed(Pull):
    """A loss that is killed, as by a machine out of memory."""

    def forward(self, pairs: Pairs, selection: Selection | None) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(pairs, selection)


class BreakingTheDevice(Pull):
    """A loss after which the device does nothing for its process, as a GPU after an assertion."""

    def forward(self, pairs: Pairs, selection: Selection | None) -> Tensor:
        from dmlbench.compute import device

        device.still_works = lambda device: False
        Pull.forward = BreakingTheDevice.forward
        raise RuntimeError("CUDA error: device-side assert triggered")


class DyingAtTheEnd(Pull):
    """A loss whose process dies when the record is written, before anyone is told."""

    def __init__(self) -> None:
        from dmlbench.storage.record_store import Store

        super().__init__()
        write = Store.write

        def write_and_die(store: Store, record: object) -> None:
            write(store, record)
            os._exit(9)

        Store.write = write_and_die


class Everything(Miner):
    """All pairs."""

    makes = "pairs"

    def select(self, pairs: Pairs) -> PairMask:
        return PairMask(pairs.positive, pairs.negative)


class Endless(Sampler):
    """A sampler that never stops."""

    def batches(self, labels, *, batch_size, steps, rng):
        while True:
            yield rng.choice(len(labels), batch_size)


class Lazy(Sampler):
    """A sampler that makes one batch, whatever it is asked for."""

    def batches(self, labels, *, batch_size, steps, rng):
        yield rng.choice(len(labels), batch_size)


class Shuffling(Sampler):
    """A sampler that shuffles the labels that it is given, in place."""

    def batches(self, labels, *, batch_size, steps, rng):
        rng.shuffle(labels)
        for _ in range(steps):
            yield rng.choice(len(labels), batch_size)


class InPlace(Backbone):
    """A network for vectors that works on its input in place."""

    modality = "vector"

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        network = nn.Sequential(nn.ReLU(inplace=True))
        network.num_features = shape[0]
        return network


class Embeddings:
    """A baseline: the embeddings of the untrained network as they are."""

    takes = "embeddings"

    def fit(self, X, y):
        return self

    def transform(self, X):
        return X


class Forgetful:
    """A baseline that returns the first item only."""

    def fit(self, X, y):
        return self

    def transform(self, X):
        return X[:1]
