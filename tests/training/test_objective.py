"""The objective: one loss or a weighted sum, each with the embeddings and pairs it asks for."""

import pytest
import torch
import torch.nn.functional as F

from dmlbench import ConfigError, Loss, Miner, PairMask, Pairs, PluginError, Triplets
from dmlbench.training.objective import Objective, Summand, combine

RAW = torch.tensor([[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]])
LABELS = torch.tensor([0, 0, 1])


class Noting(Loss):
    """Sums the similarities, and notes what it is given."""

    takes = "pairs"

    def __init__(self, factor: float = 1.0, **facts: object) -> None:
        super().__init__()
        self.factor = factor
        self.given: list[tuple[Pairs, object]] = []
        self.started: list[tuple[torch.Tensor, torch.Tensor]] = []
        for name, value in facts.items():
            setattr(self, name, value)

    def start_epoch(self, embeddings, labels):
        self.started.append((embeddings, labels))

    def forward(self, pairs, selection):
        self.given.append((pairs, selection))
        return self.factor * pairs.similarity.sum()


class Every(Miner):
    makes = "pairs"

    def select(self, pairs):
        return PairMask(pairs.positive, pairs.negative)


def test_a_sum_weighs_its_terms_in_value_and_gradient():
    raw = RAW.clone().requires_grad_()
    both = Objective([Summand(Noting(2.0), 0.5), Summand(Noting(3.0), 4.0)])
    value = both(raw, LABELS)
    once = (F.normalize(raw) @ F.normalize(raw).T).sum()
    torch.testing.assert_close(value, 13 * once)
    (gradient,) = torch.autograd.grad(value, raw, retain_graph=True)
    torch.testing.assert_close(gradient, 13 * torch.autograd.grad(once, raw)[0])


def test_losses_on_embeddings_of_one_length_share_their_pairs():
    unit, other, plain = Noting(), Noting(), Noting(normalize=False)
    Objective([Summand(unit), Summand(plain), Summand(other)])(RAW.requires_grad_(), LABELS)
    (pairs, _), (same, _), (raw, _) = unit.given[0], other.given[0], plain.given[0]
    assert pairs is same
    assert pairs.normalized
    assert not raw.normalized
    assert torch.equal(raw.anchors, RAW)


def test_a_memory_of_one_loss_is_not_seen_by_another():
    class Remembering(Noting):
        def extend(self, pairs):
            more = torch.cat([pairs.anchors, torch.ones(2, 2)])
            labels = torch.cat([pairs.labels, torch.tensor([5, 5])])
            return Pairs(pairs.anchors, pairs.labels, more, labels, torch.arange(3))

    remembering, plain = Remembering(), Noting()
    Objective([Summand(remembering, miner=Every()), Summand(plain)])(RAW.requires_grad_(), LABELS)
    assert remembering.given[0][0].similarity.shape == (3, 5)
    assert remembering.given[0][1].negative.shape == (3, 5)
    assert plain.given[0][0].similarity.shape == (3, 3)


def test_each_loss_that_selects_has_its_own_miner():
    first, labels_only, second = Noting(), Noting(takes="labels"), Noting()
    one, two = Every(), Every()
    made = combine([first, labels_only, second], [1, 1, 1], [one, two])
    assert [summand.miner for summand in made.summands] == [one, None, two]
    made = combine([first, labels_only, second], [1, 1, 1], [one])
    assert [summand.miner for summand in made.summands] == [one, None, one]


class Choosing(Miner):
    """Chooses what it is made with."""

    makes = "pairs"

    def __init__(self, selection: object) -> None:
        self.selection = selection

    def select(self, pairs):
        return self.selection


MASK, INDEX = torch.ones(3, 3, dtype=torch.bool), torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("selection", "reason"),
    [
        (None, "Choosing returned NoneType, not PairMask or Triplets"),
        ((MASK, MASK), "Choosing returned tuple"),
        (
            PairMask(MASK, MASK[:, :1]),
            r"PairMask whose negative is torch.bool \[3, 1\]; .* \[3, 3\]",
        ),
        (PairMask(MASK[:2], MASK), r"positive is torch.bool \[2, 3\]"),
        (
            PairMask(MASK.float(), MASK),
            r"positive is torch.float32 \[3, 3\]; it must be torch.bool",
        ),
        (PairMask(MASK, None), "negative is NoneType"),
        (Triplets(INDEX, INDEX, INDEX[:1]), r"Triplets whose negative is torch.int64 \[1\]"),
        (
            Triplets(INDEX, INDEX.int(), INDEX),
            r"positive is torch.int32 \[2\]; it must be torch.int64",
        ),
        (Triplets(*[INDEX[:, None]] * 3), r"anchor is torch.int64 \[2, 1\]; .* \[2\]"),
        (Triplets([0], INDEX, INDEX), "Choosing returned Triplets"),
    ],
)
def test_a_miner_must_return_a_selection_of_these_pairs(selection, reason):
    objective = Objective([Summand(Noting(), miner=Choosing(selection))])
    with pytest.raises(PluginError, match=reason):
        objective(RAW.requires_grad_(), LABELS)


@pytest.mark.parametrize("selection", [PairMask(MASK, MASK), Triplets(*[INDEX] * 3)])
def test_a_loss_is_given_what_its_miner_chose(selection):
    loss = Noting()
    Objective([Summand(loss, miner=Choosing(selection))])(RAW.requires_grad_(), LABELS)
    assert loss.given[0][1] is selection


@pytest.mark.parametrize("miners", [[], [Every()] * 3])
def test_miners_must_be_as_many_as_the_losses_that_take_one(miners):
    with pytest.raises(ConfigError, match=f"{len(miners)} miners for 2 losses"):
        combine([Noting(), Noting()], [1, 1], miners)


def test_a_loss_without_a_miner_needs_none():
    (summand,) = combine([Noting(takes="labels")], [1.0], []).summands
    assert summand.miner is None


def test_the_largest_number_of_views_counts():
    assert Objective([Summand(Noting()), Summand(Noting(views=2))]).views == 2


def test_only_losses_that_want_to_see_all_items_before_an_epoch():
    plain, unit = Noting(), Noting(starts_epochs=True)
    raw = Noting(starts_epochs=True, normalize=False)
    made = Objective([Summand(plain), Summand(unit), Summand(raw)])
    assert made.starts_epochs
    made.start_epoch(RAW, LABELS)
    assert plain.started == []
    torch.testing.assert_close(unit.started[0][0], F.normalize(RAW))
    assert torch.equal(raw.started[0][0], RAW)
    assert not Objective([Summand(plain)]).starts_epochs
