"""What tests of loss values share: small float64 batches, selections, building blocks of formulas.

A formula is a function of (loss, batch, selection) in plain loops over Python indices. It is held
against the loss by `check_on_pairs`, `check_on_labels` or `check_on_batch`, in value and gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dmlbench import Loss, PairMask, Pairs, Selection, Triplets

C, D = 6, 5
LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3, 4, 4])


@dataclass
class Batch:
    """A step's pairs in float64 and the unnormalised vectors that they were made of."""

    pairs: Pairs
    raw: list[Tensor]

    def anchor(self, i: int) -> Tensor:
        return self.pairs.anchors[i]

    def d(self, i: int, j: int) -> Tensor:
        return (self.pairs.anchors[i] - self.pairs.references[j]).square().sum().sqrt()

    def s(self, i: int, j: int) -> Tensor:
        return (self.pairs.anchors[i] * self.pairs.references[j]).sum()


def unit(*shape: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()
    return raw, F.normalize(raw)


def make_batch(kind: str) -> Batch:
    """Ten anchors: among themselves, against a memory, or against a memory that holds them."""
    raw, anchors = unit(len(LABELS), D, seed=1)
    if kind == "batch":
        return Batch(Pairs(anchors, LABELS), [raw])
    memory_raw, memory = unit(13, D, seed=2)
    memory_labels = torch.tensor([0, 1, 1, 2, 3, 3, 3, 4, 4, 5, 5, 5, 5])
    nowhere = torch.full((len(LABELS),), -1)
    if kind == "memory":
        return Batch(Pairs(anchors, LABELS, memory, memory_labels, nowhere), [raw, memory_raw])
    references, labels = torch.cat([memory, anchors]), torch.cat([memory_labels, LABELS])
    place = 13 + torch.arange(len(LABELS))
    return Batch(Pairs(anchors, LABELS, references, labels, place), [raw, memory_raw])


def of_any_length(length: float = 1.0) -> Batch:
    """Ten anchors among themselves that are not normalised; `length` stretches them."""
    raw, _ = unit(len(LABELS), D, seed=1)
    return Batch(Pairs(length * raw, LABELS, normalized=False), [raw])


def with_duplicates(dtype: torch.dtype, apart: float = 0.0) -> Batch:
    """Ten anchors that come twice, the second time `apart` from the first or equal to it."""
    raw, once = unit(len(LABELS), D, seed=1)
    _, aside = unit(len(LABELS), D, seed=2)
    again = F.normalize(once + apart * aside) if apart else once
    twice = torch.cat([once, again]).to(dtype)
    return Batch(Pairs(twice, LABELS.repeat(2)), [raw])


def check_on_duplicates(
    loss: Loss, by_loops: "Formula", dtype: torch.dtype, apart: float = 0.0
) -> None:
    """Hold a loss of embeddings in `dtype` against plain loops over the same numbers in float64."""
    batch = with_duplicates(dtype, apart)
    exact = Batch(Pairs(batch.pairs.anchors.double(), batch.pairs.labels), batch.raw)
    selection = PairMask(batch.pairs.positive, batch.pairs.negative)
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    actual = loss(batch.pairs, selection).double()
    assert_same(actual, by_loops(loss, exact, selection), batch.raw, tolerance)


def make_selection(kind: str, pairs: Pairs) -> Selection:
    generator = torch.Generator().manual_seed(3)
    if kind == "all":
        return PairMask(pairs.positive, pairs.negative)
    if kind == "some pairs":
        some = torch.rand(pairs.positive.shape, generator=generator) < 0.6
        return PairMask(pairs.positive & some, pairs.negative & some)
    triplets = torch.tensor(triplets_of(PairMask(pairs.positive, pairs.negative)))
    drawn = torch.randint(len(triplets), (40,), generator=generator)
    return Triplets(*triplets[torch.cat([drawn, drawn[:10]])].T)


def triplets_of(selection: Selection) -> list[tuple[int, int, int]]:
    if isinstance(selection, Triplets):
        indices = (selection.anchor, selection.positive, selection.negative)
        return list(zip(*(index.tolist() for index in indices), strict=True))
    positive, negative = selection.positive.tolist(), selection.negative.tolist()
    columns = range(len(positive[0]))
    return [
        (a, p, n)
        for a in range(len(positive))
        for p in columns
        for n in columns
        if positive[a][p] and negative[a][n]
    ]


def pairs_of(selection: Selection) -> tuple[list[list[int]], list[list[int]]]:
    """List for each anchor its selected positives, and its selected negatives."""
    if isinstance(selection, PairMask):
        masks = (selection.positive, selection.negative)
        return tuple([row.nonzero().flatten().tolist() for row in mask] for mask in masks)
    triplets = triplets_of(selection)
    anchors = range(len(LABELS))
    positives = [sorted({p for a, p, _ in triplets if a == i}) for i in anchors]
    negatives = [sorted({n for a, _, n in triplets if a == i}) for i in anchors]
    return positives, negatives


def mean(values: list[Tensor]) -> Tensor:
    return sum(values) / len(values)


def softmax_terms(batch: Batch, logit: Callable[[int, int], Tensor]) -> Tensor:
    terms = []
    for i, label in enumerate(LABELS.tolist()):
        exponentials = [torch.exp(logit(i, c)) for c in range(C)]
        terms.append(-torch.log(exponentials[label] / sum(exponentials)))
    return mean(terms)


def cosine(x: Tensor, w: Tensor) -> Tensor:
    return (x * w).sum() / (x.square().sum().sqrt() * w.square().sum().sqrt())


def assert_same(actual: Tensor, expected: Tensor, leaves: list[Tensor], tolerance: float) -> None:
    """Compare two values and their gradients by `leaves`, relative to the largest entry."""
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)
    got = torch.autograd.grad(actual, leaves, retain_graph=True)
    wanted = torch.autograd.grad(expected, leaves, retain_graph=True)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
        assert other.abs().max() > 1e-6


SIZES = {"num_classes": C, "embedding_dim": D}
REFERENCES = ("batch", "memory", "memory and batch")
SELECTIONS = ("all", "some pairs", "triplets")

Formula = Callable[[Loss, Batch, Selection | None], Tensor]


def check_on_batch(
    loss: Loss, by_loops: Formula, batch: Batch, selection: Selection | None
) -> None:
    """Hold a loss, brought to float64, against its formula in plain loops."""
    loss = loss.double()
    leaves = [*batch.raw, *loss.parameters()]
    assert_same(loss(batch.pairs, selection), by_loops(loss, batch, selection), leaves, 1e-9)


def check_on_pairs(loss: Loss, by_loops: Formula, chosen: str, references: str) -> None:
    """Hold a loss that takes pairs or triplets against its formula in plain loops.

    Args:
        loss: any; it is brought to float64.
        by_loops: its formula.
        chosen: one of `SELECTIONS`.
        references: one of `REFERENCES`.
    """
    batch = make_batch(references)
    check_on_batch(loss, by_loops, batch, make_selection(chosen, batch.pairs))


def check_on_labels(build: Callable[..., Loss], by_loops: Formula) -> None:
    """Hold a loss that takes labels, made by ``build(**SIZES)``, against plain loops."""
    torch.manual_seed(4)
    check_on_batch(build(**SIZES), by_loops, make_batch("batch"), None)
