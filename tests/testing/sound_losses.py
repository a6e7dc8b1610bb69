"""Losses without a fault."""

from collections import deque
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import nn

from dmlbench import IntUniform, Loss, Pairs, as_pair_mask, masked_mean


class Sound(Loss):
    """A loss without a fault."""

    takes = "pairs"
    default_miner = "all-pairs"
    paper = "Nobody. Nothing. 2026"

    def values(self, pairs):
        return 4 * pairs.similarity

    def forward(self, pairs, selection):
        chosen, values = as_pair_mask(selection, pairs), self.values(pairs)
        apart = masked_mean(F.softplus(values), chosen.negative)
        return apart + masked_mean(F.softplus(-values), chosen.positive)


class SoundProxies(Loss):
    """A loss with proxies and without a fault."""

    takes = "labels"
    paper = "Nobody. Nothing. 2026"

    def __init__(self, *, num_classes: int, embedding_dim: int):
        super().__init__()
        self.proxies = nn.Parameter(torch.randn(num_classes, embedding_dim))

    def forward(self, pairs, selection):
        logits = 8 * pairs.anchors @ F.normalize(self.proxies).T
        return F.cross_entropy(logits, pairs.labels)


class SoundMemory(Sound):
    """A loss with a memory and without a fault."""

    def __init__(self):
        super().__init__()
        self.register_buffer("memory", torch.zeros(12, 4))
        self.register_buffer("classes", torch.zeros(12, dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def extend(self, pairs):
        extended = pairs
        if self.steps > 0:
            extended = Pairs(
                pairs.anchors,
                pairs.labels,
                torch.cat([pairs.references, self.memory.to(pairs.references)]),
                torch.cat([pairs.reference_labels, self.classes]),
                pairs.self_index,
            )
        if len(pairs) == len(self.memory):
            self.memory.copy_(pairs.anchors.detach())
            self.classes.copy_(pairs.labels)
            self.steps += 1
        return extended


class SoundViews(Loss):
    """A loss that takes two views, embeddings of any length, whole epochs, and has settings."""

    takes = "labels"
    paper = "Nobody. Nothing. 2026"
    views = 2
    normalize = False
    starts_epochs = True

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_dim: int,
        power: Annotated[int, IntUniform(1, 2)] = 2,
        pull: bool = True,
    ):
        super().__init__()
        self.power = power
        self.pull = pull
        self.register_buffer("means", torch.zeros(num_classes, embedding_dim))

    def start_epoch(self, embeddings, labels):
        for label in range(len(self.means)):
            self.means[label] = embeddings[labels == label].mean(0)

    def forward(self, pairs, selection):
        distances = (pairs.anchors[:, None] - self.means).square().sum(2)
        loss = F.cross_entropy(-((distances + 1e-6) ** (self.power / 2)), pairs.labels)
        first, second = pairs.anchors.chunk(2)
        return loss + 0.01 * (first - second).square().mean() if self.pull else loss


class SoundQueue(Sound):
    """A loss that weighs by the values of earlier steps, and says so."""

    def __init__(self):
        super().__init__()
        self.earlier = deque(maxlen=4)

    def forward(self, pairs, selection):
        value = super().forward(pairs, selection)
        self.earlier.append(value.item())
        return value * (1 + abs(sum(self.earlier)))

    def get_extra_state(self):
        return list(self.earlier)

    def set_extra_state(self, state):
        self.earlier.extend(state)


SOUND = [SoundQueue, Sound, SoundProxies, SoundMemory, SoundViews]
