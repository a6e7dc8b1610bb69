"""Ranked list loss against plain loops; its peer differentiates the weights."""

import warnings

import pytest
import torch
from pytorch_metric_learning import losses as peer
from support.loss_loops import (
    LABELS,
    REFERENCES,
    SELECTIONS,
    Batch,
    assert_same,
    check_on_pairs,
    make_batch,
    make_selection,
    mean,
    pairs_of,
    unit,
)
from torch import Tensor

from dmlbench import PairMask, Pairs, Selection
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.ranked_list import RankedList


def by_loops(loss: RankedList, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        pull = [batch.d(a, p) - loss.alpha + loss.margin for p in positives]
        push = [loss.alpha - batch.d(a, n) for n in negatives]
        pull, push = [v for v in pull if v > 0], [v for v in push if v > 0]
        weights = [torch.exp(loss.temperature * v.detach()) for v in push]
        term = torch.zeros((), dtype=torch.float64)
        if pull:
            term = term + (1 - loss.imbalance) * mean(pull)
        if push:
            weighted = sum(w * v for w, v in zip(weights, push, strict=True))
            term = term + loss.imbalance * weighted / sum(weights)
        if positives or negatives:
            terms.append(term)
    return mean(terms)


SETTINGS = {
    "defaults": {},
    "far and flat": {"alpha": 1.6, "margin": 0.9, "temperature": 0.0, "imbalance": 0.3},
    "near and sharp": {"alpha": 0.9, "margin": 0.1, "temperature": 50.0, "imbalance": 0.8},
}


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_agrees_with_plain_loops(settings, chosen, references):
    check_on_pairs(RankedList(**SETTINGS[settings]), by_loops, chosen, references)


def theirs(embeddings: Tensor, labels: Tensor, temperature: float) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it finds temperatures above 5 too high
        loss = peer.RankedListLoss(margin=0.4, Tn=temperature)
    assert loss.alpha == pytest.approx(1.2)
    return loss(embeddings, labels)


def test_the_peers_value_is_the_same_at_any_temperature_but_it_differentiates_the_weights():
    labels = torch.arange(40) % 8
    raw, embeddings = unit(40, 16, seed=8)
    pairs = Pairs(embeddings, labels)
    actual, expected = RankedList()(pairs, all_pairs(pairs)), theirs(embeddings, labels, 10)
    assert actual.item() == pytest.approx(expected.item(), rel=1e-3)
    (ours,) = torch.autograd.grad(actual, raw, retain_graph=True)
    (other,) = torch.autograd.grad(expected, raw)
    assert (ours - other).norm() > 0.1 * ours.norm()


def test_an_infinite_temperature_leaves_the_nearest_negative():
    batch = make_batch("batch")
    distance = batch.pairs.distance
    nearest = distance.masked_fill(~batch.pairs.negative, torch.inf).amin(1)
    expected = (1.2 - nearest).clamp_min(0).mean()
    actual = RankedList(temperature=1e6, imbalance=1.0)(batch.pairs, all_pairs(batch.pairs))
    assert_same(actual, expected, batch.raw, tolerance=1e-9)


def test_positives_within_their_sphere_are_left_alone():
    selection = make_selection("all", make_batch("batch").pairs)
    raw, embeddings = unit(len(LABELS), 5, seed=1)
    near = torch.nn.functional.normalize(embeddings[:1] + 0.05 * embeddings)
    only_positives = PairMask(selection.positive, torch.zeros_like(selection.negative))
    value = RankedList()(Pairs(near, LABELS), only_positives)
    assert value == 0
    assert (torch.autograd.grad(value, raw)[0] == 0).all()
