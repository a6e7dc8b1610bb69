"""NCA against plain loops, and where its peer drops an anchor."""

import pytest
import torch
from pytorch_metric_learning import losses as peer
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_batch,
    check_on_pairs,
    make_selection,
    mean,
    of_any_length,
    pairs_of,
)
from torch import Tensor

from dmlbench import Pairs, Selection
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.nca import NCA


def by_loops(loss: NCA, batch: Batch, selection: Selection) -> Tensor:
    def weight(a: int, j: int) -> Tensor:
        return torch.exp(-loss.scale * batch.d(a, j) ** 2)

    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        if positives:
            own = sum(weight(a, p) for p in positives)
            terms.append(-torch.log(own / (own + sum(weight(a, n) for n in negatives))))
    return mean(terms)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("scale", [9.0, 0.5])
def test_agrees_with_plain_loops(scale, chosen, references):
    check_on_pairs(NCA(scale=scale), by_loops, chosen, references)


def test_agrees_with_plain_loops_on_embeddings_of_any_length():
    batch = of_any_length()
    check_on_batch(NCA(scale=0.3), by_loops, batch, make_selection("all", batch.pairs))


def test_positives_too_far_away_for_an_exponential_still_have_a_gradient():
    """Single precision has no number below exp(-103): the peer drops such anchors, all of them."""
    axes = torch.eye(2)
    raw = torch.cat([axes[:1], -axes[:1], axes[:1], -axes[:1]]).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1])
    pairs = Pairs(raw, labels)
    value = NCA(scale=100.0)(pairs, all_pairs(pairs))
    assert value.item() == pytest.approx(400)
    assert peer.NCALoss(softmax_scale=100)(raw, labels).isnan()
    (gradient,) = torch.autograd.grad(value, raw)
    assert gradient.abs().max() > 1
