"""What tests of miners share: batches with and without a memory, plain loops over their pairs."""

import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F

from dmlbench import Miner, Pairs, Selection, Triplets


def on_sphere(count: int, dimension: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dimension, generator=generator))


def batch_of_itself(seed: int) -> Pairs:
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 3])
    return Pairs(on_sphere(len(labels), 6, seed).requires_grad_(), labels)


def batch_with_singletons(seed: int) -> Pairs:
    return Pairs(on_sphere(9, 5, seed), torch.tensor([7, 4, 4, 9, 1, 1, 1, 12, 0]))


def batch_with_memory(seed: int) -> Pairs:
    anchors = on_sphere(8, 6, seed)
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    memory, memory_labels = on_sphere(11, 6, seed + 100), torch.arange(11) % 5
    return Pairs(
        anchors,
        labels,
        torch.cat((memory, anchors)),
        torch.cat((memory_labels, labels)),
        torch.arange(11, 19),
    )


def memory_only(seed: int) -> Pairs:
    labels, memory_labels = torch.tensor([0, 1, 2, 2, 8]), torch.arange(14) % 4
    nowhere = torch.full((5,), -1)
    return Pairs(on_sphere(5, 6, seed), labels, on_sphere(14, 6, seed + 1), memory_labels, nowhere)


def of_different_lengths() -> Pairs:
    embeddings = torch.tensor([[1.0, 0.0], [9.0, 0.0], [1.1, 0.9], [0.0, 1.2]])
    return Pairs(embeddings, torch.tensor([0, 0, 1, 1]), normalized=False)


def one_class(seed: int) -> Pairs:
    return Pairs(on_sphere(6, 4, seed), torch.zeros(6, dtype=torch.int64))


def all_singletons(seed: int) -> Pairs:
    return Pairs(on_sphere(6, 4, seed), torch.arange(6))


def single_item(seed: int) -> Pairs:
    return Pairs(on_sphere(1, 4, seed), torch.tensor([3]))


BATCHES = [batch_of_itself, batch_with_singletons, batch_with_memory, memory_only]
EMPTY_BATCHES = [one_class, all_singletons, single_item]

every_batch = pytest.mark.parametrize("make_pairs", BATCHES)
every_seed = pytest.mark.parametrize("seed", range(4))


class Loops:
    """The pairs again, by plain loops over Python numbers in double precision."""

    def __init__(self, pairs: Pairs) -> None:
        anchors = pairs.anchors.detach().double().tolist()
        references = pairs.references.detach().double().tolist()
        labels, reference_labels = pairs.labels.tolist(), pairs.reference_labels.tolist()
        own = pairs.self_index.tolist()
        self.anchors = range(len(anchors))
        self.distance = [[math.dist(a, r) for r in references] for a in anchors]
        self.similarity = [
            [sum(x * y for x, y in zip(a, r, strict=True)) for r in references] for a in anchors
        ]
        self.positives = [
            [j for j, c in enumerate(reference_labels) if c == labels[a] and j != own[a]]
            for a in self.anchors
        ]
        self.negatives = [
            [j for j, c in enumerate(reference_labels) if c != labels[a]] for a in self.anchors
        ]

    def positive_pairs_with_a_negative(self) -> list[tuple[int, int]]:
        return [(a, p) for a in self.anchors if self.negatives[a] for p in self.positives[a]]


def triplets_of(selection: Triplets) -> list[tuple[int, ...]]:
    assert isinstance(selection, Triplets)
    indices = (selection.anchor, selection.positive, selection.negative)
    assert all(index.dtype == torch.int64 for index in indices)
    return list(zip(*(index.tolist() for index in indices), strict=True))


def pairs_of(mask: torch.Tensor) -> set[tuple[int, ...]]:
    assert mask.dtype == torch.bool
    return {tuple(place) for place in mask.nonzero().tolist()}


def mine(miner: Miner, pairs: Pairs) -> Selection:
    torch.manual_seed(0)
    with torch.no_grad():
        return miner.select(pairs)


def at_distances(distances: list[float], dimension: int, positives: int) -> Pairs:
    """One anchor with negatives at these distances and as many draws as it has positives."""
    angles = [2 * math.asin(d / 2) for d in distances]
    negatives = torch.zeros(len(distances), dimension)
    negatives[:, 0] = torch.tensor([math.cos(angle) for angle in angles])
    negatives[:, 1] = torch.tensor([math.sin(angle) for angle in angles])
    anchor = F.one_hot(torch.tensor([0]), dimension).float()
    references = torch.cat((negatives, anchor.expand(positives, -1)))
    labels = torch.tensor([1] * len(distances) + [0] * positives)
    return Pairs(anchor, torch.tensor([0]), references, labels, torch.tensor([-1]))


def frequencies(miner: Miner, pairs: Pairs, negatives: int) -> list[int]:
    """Count how often each of the first references is drawn as the negative."""
    drawn = Counter(n for _, _, n in triplets_of(mine(miner, pairs)))
    return [drawn[n] for n in range(negatives)]


def peer_arguments(pairs: Pairs) -> tuple[torch.Tensor, ...]:
    anchors = pairs.anchors.detach()
    if pairs.references is pairs.anchors:
        return anchors, pairs.labels
    return anchors, pairs.labels, pairs.references, pairs.reference_labels
