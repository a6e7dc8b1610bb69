"""Supervised contrastive loss against plain loops."""

import pytest
import torch
from pytorch_metric_learning import losses as peer
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    assert_same,
    check_on_pairs,
    make_batch,
    mean,
    pairs_of,
)
from torch import Tensor

from dmlbench import Pairs, Selection
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.supcon import SupCon


def by_loops(loss: SupCon, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        others = [torch.exp(batch.s(a, k) / loss.temperature) for k in positives + negatives]
        log_shares = [
            torch.log(torch.exp(batch.s(a, p) / loss.temperature) / sum(others)) for p in positives
        ]
        if positives:
            terms.append(-sum(log_shares) / len(positives))
    return mean(terms)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("settings", [{}, {"temperature": 0.02}])
def test_agrees_with_plain_loops(settings, chosen, references):
    check_on_pairs(SupCon(**settings), by_loops, chosen, references)


def test_a_batch_of_one_class_makes_similarities_equal_and_is_0_for_pytorch_metric_learning():
    batch = make_batch("batch")
    one_class = torch.zeros(len(batch.pairs), dtype=torch.int64)
    alone = Batch(Pairs(batch.pairs.anchors, one_class), batch.raw)
    selection = all_pairs(alone.pairs)
    value, expected = SupCon()(alone.pairs, selection), by_loops(SupCon(), alone, selection)
    assert_same(value, expected, alone.raw, tolerance=1e-9)
    assert peer.SupConLoss()(alone.pairs.anchors, one_class) == 0
