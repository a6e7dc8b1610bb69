"""Easy-positive loss against plain loops and its peer, with listed triplets and pair masks."""

import pytest
import torch
from pytorch_metric_learning import losses as peer
from pytorch_metric_learning import miners
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    assert_same,
    check_on_pairs,
    make_batch,
    make_selection,
    mean,
    triplets_of,
    unit,
)
from torch import Tensor

from dmlbench import PairMask, Pairs, Selection, Triplets
from dmlbench_losses.easy_positive import EasyPositive


def by_loops(loss: EasyPositive, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, p, n in triplets_of(selection):
        near, far = (torch.exp(batch.s(a, j) / loss.temperature) for j in (p, n))
        terms.append(-torch.log(near / (near + far)))
    return mean(terms)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("temperature", [0.1, 1.0, 0.02])
def test_agrees_with_plain_loops(temperature, chosen, references):
    check_on_pairs(EasyPositive(temperature=temperature), by_loops, chosen, references)


@pytest.mark.parametrize("references", REFERENCES)
def test_a_pair_mask_means_all_triplets_that_it_spans(references):
    batch = make_batch(references)
    mask = make_selection("some pairs", batch.pairs)
    listed = Triplets(*torch.tensor(triplets_of(mask)).T)
    loss = EasyPositive()
    assert_same(loss(batch.pairs, mask), loss(batch.pairs, listed), batch.raw, tolerance=1e-12)


def test_on_the_triplets_of_the_peers_miner_it_is_its_nt_xent():
    labels = torch.arange(40) % 8
    raw, embeddings = unit(40, 16, seed=8)
    anchor, positive, _, negative = mined = miners.BatchEasyHardMiner()(embeddings, labels)
    actual = EasyPositive()(Pairs(embeddings, labels), Triplets(anchor, positive, negative))
    expected = peer.NTXentLoss(temperature=0.1)(embeddings, labels, mined)
    assert_same(actual, expected, [raw], tolerance=1e-7)


def test_a_triplet_drawn_twice_counts_twice():
    pairs = make_batch("batch").pairs
    triplets = [(0, 1, 3), (3, 4, 0), (5, 6, 7)]
    one, two, three = (
        EasyPositive()(pairs, Triplets(*torch.tensor([t]).T)).item() for t in triplets
    )
    drawn = Triplets(*torch.tensor([triplets[0]] * 3 + triplets[1:]).T)
    assert EasyPositive()(pairs, drawn).item() == pytest.approx((3 * one + two + three) / 5)


@pytest.mark.parametrize("listed", [True, False])
def test_is_finite_and_exact_where_the_exponential_overflows(listed):
    raw = torch.tensor([[1.0, 0], [-1, 0], [1, 0]]).requires_grad_()
    pairs = Pairs(raw, torch.tensor([0, 0, 1]))
    only = torch.zeros(3, 3, dtype=torch.bool)
    only[0] = True
    selection = PairMask(pairs.positive & only, pairs.negative & only)
    if listed:
        selection = Triplets(*torch.tensor(triplets_of(selection)).T)
    value = EasyPositive(temperature=0.001)(pairs, selection)
    value.backward()
    assert value.item() == pytest.approx(2000)
    assert torch.isfinite(raw.grad).all()
