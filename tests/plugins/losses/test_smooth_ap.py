"""Smooth-AP against plain loops and exact average precision; its peer groups otherwise."""

import pytest
import torch
from pytorch_metric_learning import losses as peer
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    assert_same,
    check_on_batch,
    check_on_pairs,
    make_batch,
    mean,
    pairs_of,
    unit,
)
from torch import Tensor

from dmlbench import Pairs, Selection
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses import soft_ranks
from dmlbench_losses.smooth_ap import SmoothAP


def by_loops(loss: SmoothAP, batch: Batch, selection: Selection) -> Tensor:
    def ahead(a: int, j: int, p: int) -> Tensor:
        return torch.sigmoid((batch.s(a, j) - batch.s(a, p)) / loss.temperature)

    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        precisions = []
        for p in positives:
            among_positives = 1 + sum(ahead(a, j, p) for j in positives if j != p)
            among_all = among_positives + sum(ahead(a, j, p) for j in negatives)
            precisions.append(among_positives / among_all)
        if precisions:
            terms.append(1 - mean(precisions))
    return mean(terms)


def value(loss: SmoothAP, pairs: Pairs) -> Tensor:
    return loss(pairs, all_pairs(pairs))


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("temperature", [0.01, 0.3])
def test_agrees_with_plain_loops(temperature, chosen, references):
    check_on_pairs(SmoothAP(temperature=temperature), by_loops, chosen, references)


@pytest.mark.parametrize("differences", [1, 30, 100])
def test_the_size_of_the_blocks_does_not_matter(differences, monkeypatch):
    monkeypatch.setattr(soft_ranks, "_DIFFERENCES_IN_A_BLOCK", differences)
    check_on_pairs(SmoothAP(temperature=0.1), by_loops, "all", "memory and batch")


def with_the_anchor_as_its_own_positive(embeddings: Tensor, labels: Tensor) -> Pairs:
    return Pairs(embeddings, labels, embeddings, labels, torch.full((len(labels),), -1))


def test_pytorch_metric_learning_makes_groups_as_large_as_there_are_classes():
    raw, embeddings = unit(12, 6, seed=5)
    labels, groups = torch.arange(4).repeat_interleave(3), torch.arange(3).repeat_interleave(4)
    theirs = peer.SmoothAPLoss()(embeddings, labels).double()
    wrong = value(SmoothAP(), with_the_anchor_as_its_own_positive(embeddings, groups))
    right = value(SmoothAP(), with_the_anchor_as_its_own_positive(embeddings, labels))
    assert_same(theirs, wrong, [raw], tolerance=1e-6)
    assert abs(theirs - right) > 0.01


def test_counting_the_anchor_as_a_positive_flatters_the_ranking():
    pairs = make_batch("batch").pairs
    flattered = with_the_anchor_as_its_own_positive(pairs.anchors, pairs.labels)
    assert value(SmoothAP(), flattered) < value(SmoothAP(), pairs)


def test_at_a_low_temperature_it_is_one_minus_average_precision():
    pairs = make_batch("memory").pairs
    precisions = []
    for row, relevant in zip(pairs.similarity.detach(), pairs.positive, strict=True):
        ranked = relevant[row.argsort(descending=True)]
        hits = ranked.cumsum(0)[ranked] / (ranked.nonzero().flatten() + 1)
        if len(hits):
            precisions.append(hits.double().mean())
    exact = 1 - torch.stack(precisions).mean().item()
    assert value(SmoothAP(temperature=1e-6), pairs).item() == pytest.approx(exact)


def test_references_far_behind_leave_no_denormal_numbers_which_are_slow():
    """In single precision, at a similarity of 0.9 for positives and 0 for negatives."""
    step = soft_ranks.sigmoid_step(0.01)
    far = torch.tensor([-0.35, -0.9, -2.0])
    for values in (step.value(far.clone()), step.slope(far.clone())):
        assert values.min() > 1e4 * torch.finfo(torch.float32).tiny
        assert values.max() < 1e-12


def test_one_large_class_among_small_ones_agrees_with_plain_loops():
    raw, embeddings = unit(10, 5, seed=6)
    batch = Batch(Pairs(embeddings, torch.tensor([0] * 7 + [1, 1, 2])), [raw])
    check_on_batch(SmoothAP(temperature=0.1), by_loops, batch, all_pairs(batch.pairs))


def test_a_collapsed_network_ranks_at_random():
    """All tied: half of the others come before each positive."""
    labels = torch.arange(4).repeat_interleave(4)
    tied = Pairs(torch.ones(16, 1), labels)
    assert value(SmoothAP(), tied).item() == pytest.approx(6 / (0.5 + 1.5 + 6))
