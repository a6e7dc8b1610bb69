"""The recall@k surrogate against plain loops and exact recall."""

import math

import pytest
import torch
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_pairs,
    make_batch,
    mean,
    pairs_of,
)
from torch import Tensor

from dmlbench import Pairs, Selection
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.recall_at_k import RecallAtK


def by_loops(ks: list[int], temperature: float, k_temperature: float):
    def formula(loss: RecallAtK, batch: Batch, selection: Selection) -> Tensor:
        terms = []
        for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
            recalls = []
            for k in ks:
                hits = []
                for p in positives:
                    others = [j for j in positives + negatives if j != p]
                    rank = 1 + sum(
                        torch.sigmoid((batch.s(a, j) - batch.s(a, p)) / temperature) for j in others
                    )
                    hits.append(torch.sigmoid((k - torch.as_tensor(rank)) / k_temperature))
                if hits:
                    found = sum(hits)
                    recalls.append((found if found < k else k) / min(k, len(positives)))
            if recalls:
                terms.append(1 - sum(recalls) / len(recalls))
        return mean(terms)

    return formula


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
def test_agrees_with_plain_loops(chosen, references):
    formula = by_loops([1, 2, 4, 8, 16], 0.01, 1.0)
    check_on_pairs(RecallAtK(), formula, chosen, references)


@pytest.mark.parametrize(("largest", "ks"), [(1, [1]), (5, [1, 2, 4])])
def test_agrees_with_plain_loops_with_other_settings(largest, ks):
    loss = RecallAtK(temperature=0.2, k_temperature=0.5, largest_k=largest)
    check_on_pairs(loss, by_loops(ks, 0.2, 0.5), "all", "memory and batch")


def test_at_low_temperatures_a_positive_counts_before_rank_k_and_half_at_it():
    pairs = make_batch("memory").pairs
    shares = []
    for row, relevant in zip(pairs.similarity, pairs.positive, strict=True):
        ranks = relevant[row.argsort(descending=True)].nonzero().flatten() + 1
        for k in (1, 2, 4):
            found = (ranks < k).sum().item() + (ranks == k).sum().item() / 2
            shares.append(found / min(k, len(ranks)))
    loss = RecallAtK(temperature=1e-6, k_temperature=0.02, largest_k=4)
    value = loss(pairs, all_pairs(pairs))
    assert value.item() == pytest.approx(1 - sum(shares) / len(shares))


def test_nearest_positive_has_rank_1_since_the_anchor_is_not_ranked():
    pairs = Pairs(torch.eye(8).repeat_interleave(2, dim=0), torch.arange(8).repeat_interleave(2))
    value = RecallAtK(largest_k=4)(pairs, all_pairs(pairs))
    recalls = [1 / (1 + math.exp(-(k - 1))) for k in (1, 2, 4)]
    assert value.item() == pytest.approx(1 - sum(recalls) / 3)
