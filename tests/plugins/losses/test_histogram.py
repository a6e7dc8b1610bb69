"""The histogram loss against plain loops, and for similarities of exactly 1 and -1."""

import numpy as np
import pytest
import torch
from pytorch_metric_learning import losses as peer
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_pairs,
    pairs_of,
    unit,
)
from torch import Tensor

from dmlbench import Pairs, Selection
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.histogram import Histogram


def by_loops(loss: Histogram, batch: Batch, selection: Selection) -> Tensor:
    width = 2 / loss.bins

    def histogram(chosen: list[list[int]]) -> list[Tensor]:
        values = [batch.s(a, j) for a, row in enumerate(chosen) for j in row]
        nodes = []
        for r in range(loss.bins + 1):
            shares = [1 - abs(value - (-1 + r * width)) / width for value in values]
            nodes.append(sum(share for share in shares if share > 0) / len(values))
        return nodes

    positive, negative = map(histogram, pairs_of(selection))
    return sum(negative[r] * sum(positive[: r + 1]) for r in range(loss.bins + 1))


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("bins", [7, 40])
def test_agrees_with_plain_loops(bins, chosen, references):
    check_on_pairs(Histogram(bins=bins), by_loops, chosen, references)


def test_default_agrees_with_plain_loops():
    check_on_pairs(Histogram(), by_loops, "all", "batch")


by_lists = pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")  # as the peer does


AXIS = torch.tensor([[1.0, 0.0]])


def of(embeddings: Tensor, labels: list[int], bins: int) -> Tensor:
    pairs = Pairs(embeddings, torch.tensor(labels))
    return Histogram(bins=bins)(pairs, all_pairs(pairs))


@pytest.mark.parametrize("bins", [2, 3, 10, 33, 200, 1000])
@pytest.mark.parametrize("beyond", [0.0, 1e-6])
def test_similarities_of_exactly_1_and_minus_1_have_their_nodes(bins, beyond):
    """Duplicates against opposites: no negative is as similar as a positive, or all are."""
    embeddings = (1 + beyond) * torch.cat([AXIS, AXIS, -AXIS, -AXIS])
    embeddings.requires_grad_()
    for labels, expected in (([0, 0, 1, 1], 0), ([0, 1, 0, 1], 0.5 + 0.5)):
        value = of(embeddings, labels, bins)
        (gradient,) = torch.autograd.grad(value, embeddings)
        assert value.item() == pytest.approx(expected, abs=1e-6)
        assert torch.isfinite(gradient).all()


@by_lists
def test_pytorch_metric_learning_fails_on_duplicates():
    with pytest.raises(RuntimeError, match="out of bounds"):
        peer.HistogramLoss()(torch.cat([AXIS, AXIS, -AXIS]), torch.tensor([0, 0, 1]))


def test_it_is_the_probability_that_a_negative_pair_is_more_similar():
    _, embeddings = unit(40, 3, seed=9)
    pairs = Pairs(embeddings, torch.arange(40) % 5)
    positive, negative = pairs.similarity[pairs.positive], pairs.similarity[pairs.negative]
    share = (negative[:, None] > positive).double().mean()
    value = Histogram(bins=1000)(pairs, all_pairs(pairs))
    assert value.item() == pytest.approx(share.item(), abs=0.01)


@pytest.mark.parametrize(("nodes", "found"), [(65, 64), (11, 4)])
def test_roth_et_al_find_the_upper_node_of_some_bins_only(nodes, found):
    """Their code takes a pair for one of a bin if a node less the width equals the lower node."""
    width = 2 / (nodes - 1)
    lower, support = np.arange(nodes - 1) * width - 1, np.linspace(-1, 1, nodes)
    assert np.isin(lower, support).all()
    assert np.isin(lower, support - width).sum() == found
