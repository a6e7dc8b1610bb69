"""Random whole numbers: below their total, all equally likely, and steady where totals are not."""

from fractions import Fraction

import pytest
import torch
from scipy.stats import chisquare

from dmlbench import draw_below, random_shares
from dmlbench.contracts.draws import floor_of_share

LARGEST_SHARE = 1 - 2**-53
TOTALS = [1, 2, 3, 5, 6, 7, 100, 2**31 - 1, 2**32, 2**32 + 1, 3 * 2**40 + 1, 2**53 - 1]


@pytest.mark.parametrize("total", TOTALS)
@pytest.mark.parametrize("steps_below", range(1, 5))
def test_the_largest_shares_stay_below_their_total(total, steps_below):
    share = torch.tensor(1 - steps_below * 2**-53, dtype=torch.float64)
    assert floor_of_share(share, torch.tensor(total)).item() <= total - 1
    exact = Fraction(share.item()) * total
    assert abs(floor_of_share(share, torch.tensor(total)).item() - exact // 1) <= 1


def test_no_total_rounds_up_to_itself():
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(1, 54, (200_000,), generator=generator)
    totals = torch.randint(2**53, bits.shape, generator=generator) >> (53 - bits)
    shares = torch.full(bits.shape, LARGEST_SHARE, dtype=torch.float64)
    drawn = floor_of_share(shares, totals)
    assert (drawn == totals.clamp_min(1) - 1).all()


@pytest.mark.parametrize("total", [1, 2, 3, 7, 48, 1000])
def test_shares_in_equal_steps_give_every_number_equally_often(total):
    """Each number has the same length of shares: counted, not sampled."""
    of_each = 64
    steps = of_each * total
    shares = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    count = floor_of_share(shares, torch.full((steps,), total)).bincount()
    assert count.tolist() == [of_each] * total


@pytest.mark.parametrize("total", [2, 7, 100])
def test_draws_are_equally_likely(total):
    torch.manual_seed(3)
    count = draw_below(torch.full((200 * total,), total)).bincount(minlength=total)
    assert len(count) == total
    assert count.min() > 0
    assert chisquare(count.numpy()).pvalue > 0.01


def test_if_a_total_moves_by_one_a_draw_moves_by_one_at_most():
    totals = torch.randint(1, 2**33, (10_000,), generator=torch.Generator().manual_seed(1))
    torch.manual_seed(5)
    before = draw_below(totals)
    torch.manual_seed(5)
    moved = draw_below(totals + 1) - before
    assert moved.unique().tolist() == [0, 1]


def test_below_nothing_the_draw_is_zero():
    assert draw_below(torch.tensor([[0, -3, 1]])).tolist() == [[0, 0, 0]]


def test_draws_follow_torchs_global_generator():
    totals = torch.full((2, 500), 1000)
    torch.manual_seed(0)
    first, second = draw_below(totals), draw_below(totals)
    torch.manual_seed(0)
    assert torch.equal(draw_below(totals), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("longer", [(0,), (7, 3), (100_000,)])
def test_a_list_of_another_length_leaves_later_draws_as_they_are(longer):
    cpu, totals = torch.device("cpu"), torch.full((50,), 1000)
    later = []
    for shape in ((5,), longer):
        torch.manual_seed(0)
        random_shares(shape, cpu)
        draw_below(torch.ones(shape, dtype=torch.int64))
        later.append(draw_below(totals))
    assert torch.equal(*later)


def test_shares_are_below_one_and_calls_are_independent():
    torch.manual_seed(0)
    shares = torch.stack([random_shares((5_000,), torch.device("cpu")) for _ in range(4)])
    assert 0 <= shares.min() < 1e-3
    assert 1 - 1e-3 < shares.max() < 1
    apart = torch.corrcoef(shares) - torch.eye(4)
    assert apart.abs().max() < 0.06


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU on this machine")
def test_draws_are_the_same_on_a_gpu():
    totals = torch.arange(1, 100_000)
    torch.manual_seed(0)
    here = draw_below(totals)
    torch.manual_seed(0)
    there = draw_below(totals.to("cuda"))
    assert there.is_cuda
    assert torch.equal(there.cpu(), here)
