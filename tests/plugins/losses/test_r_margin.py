"""R-Margin against its formula in plain loops, margin loss, and its probabilities."""

import pytest
import torch
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
    triplets_of,
)
from torch import Tensor

from dmlbench import Pairs, Selection, Triplets
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.margin import Margin
from dmlbench_losses.r_margin import RMargin


def counts(loss: RMargin, pairs: Pairs, selection: Selection) -> tuple[Tensor, Tensor]:
    """Return how often each pair is pulled, is pushed, drawn as if right after the seed."""
    torch.manual_seed(11)
    return loss._occurrences(pairs, selection)


def by_loops(loss: RMargin, batch: Batch, selection: Selection) -> Tensor:
    pull, push = counts(loss, batch.pairs, selection)
    terms = []
    for a in range(len(pull)):
        for j in range(pull.shape[1]):
            terms += int(pull[a, j]) * [batch.d(a, j) - loss.beta + loss.margin]
            terms += int(push[a, j]) * [loss.beta - batch.d(a, j) + loss.margin]
    return mean([v for v in terms if v > 0])


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("settings", [{}, {"beta": 1.2, "switched": 0.7}])
def test_value_and_gradient_agree_with_plain_loops_over_what_was_drawn(
    settings, chosen, references
):
    loss = RMargin(**settings)
    torch.manual_seed(11)
    check_on_pairs(loss, by_loops, chosen, references)


def test_triplets_that_were_not_switched_stay_and_the_others_push_classmates():
    pairs = make_batch("memory and batch").pairs
    selection = make_selection("triplets", pairs)
    loss = RMargin(switched=0.5).double()
    pull, push = counts(loss, pairs, selection)
    wanted_pull, wanted_push = counts(RMargin(switched=0.0).double(), pairs, selection)
    kept, total = int(pull.sum()), len(triplets_of(selection))
    assert 0 < kept < total
    assert push.sum() == total
    assert (pull <= wanted_pull).all()
    assert (push[pairs.negative] <= wanted_push[pairs.negative]).all()
    assert push[pairs.negative].sum() == kept
    assert push[pairs.positive].sum() == total - kept


@pytest.mark.parametrize("chosen", SELECTIONS)
def test_without_switching_it_is_margin_loss(chosen):
    batch = make_batch("memory and batch")
    selection = make_selection(chosen, batch.pairs)
    plain = Margin(beta=0.6).double()
    for loss in (RMargin(switched=0.0).double(), RMargin(switched=0.9).double().eval()):
        leaves = [*batch.raw]
        assert_same(loss(batch.pairs, selection), plain(batch.pairs, selection), leaves, 1e-12)


def test_if_all_are_switched_each_anchor_pushes_its_class():
    """With two items a class it is clear which: the other one, once for every triplet."""
    labels = torch.arange(8) // 2
    anchors = make_batch("batch").pairs.anchors[:8]
    pairs = Pairs(anchors, labels)
    loss = RMargin(switched=1.0, beta=1.5).double()
    distances = [(anchors[i] - anchors[i ^ 1]).square().sum().sqrt() for i in range(8)]
    terms = [loss.beta - d + loss.margin for d in distances]
    expected = mean([v for v in terms if v > 0])
    mask = all_pairs(pairs)
    for selection in (mask, Triplets(*torch.tensor(triplets_of(mask)).T)):
        torch.testing.assert_close(loss(pairs, selection), expected)


@pytest.mark.parametrize("chosen", ["all", "triplets"])
def test_the_share_of_switched_triplets_is_the_probability(chosen):
    labels = torch.arange(60) % 3
    pairs = Pairs(torch.eye(60), labels)
    selection = all_pairs(pairs)
    if chosen == "triplets":
        selection = Triplets(*(torch.randint(60, (9000,)) for _ in range(3)))
    _, push = counts(RMargin(switched=0.3), pairs, selection)
    if chosen == "all":
        share = push[pairs.positive].sum() / push.sum()
        assert share.item() == pytest.approx(0.3, abs=0.03)
    _, plain = counts(RMargin(switched=0.0), pairs, selection)
    assert push.sum() == plain.sum()


def test_classmates_are_drawn_evenly():
    labels = torch.tensor([0, 0, 0, 0, 1])
    pairs = Pairs(torch.eye(5), labels)
    many = torch.zeros(6000, dtype=torch.int64)
    _, push = counts(RMargin(switched=1.0), pairs, Triplets(many, many + 1, many + 4))
    assert push[0, [0, 4]].tolist() == [0, 0]
    assert push[0, 1:4].tolist() == pytest.approx([2000] * 3, rel=0.1)


def test_an_anchor_without_a_classmate_keeps_its_negative():
    pairs = Pairs(torch.eye(3), torch.arange(3))
    zero = torch.tensor([0])
    _, push = counts(RMargin(switched=1.0), pairs, Triplets(zero, zero + 1, zero + 2))
    assert push.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_the_draw_follows_torchs_global_generator():
    batch = make_batch("batch")
    selection = make_selection("all", batch.pairs)
    loss = RMargin(switched=0.5).double()

    def value(seed: int) -> float:
        torch.manual_seed(seed)
        return loss(batch.pairs, selection).item()

    assert value(1) == value(1)
    assert len({value(seed) for seed in range(5)}) > 1
    assert len(LABELS) == len(batch.pairs)
