"""Lists of triplets made in parts are those made at once."""

import pytest
import torch
from support.miner_loops import batch_of_itself, batch_with_memory, memory_only, mine, triplets_of

from dmlbench_miners import listing
from dmlbench_miners.angular import Angular
from dmlbench_miners.hard_triplets import HardTriplets
from dmlbench_miners.semi_hard import SemiHard


@pytest.mark.parametrize("make_pairs", [batch_of_itself, batch_with_memory, memory_only])
@pytest.mark.parametrize("miner", [Angular(), HardTriplets(), SemiHard(margin=1.0)])
def test_parts_make_the_same_list_in_the_same_order(miner, make_pairs, monkeypatch):
    pairs = make_pairs(1)
    at_once = triplets_of(mine(miner, pairs))
    monkeypatch.setattr(listing, "_SMALL", 1)
    assert pairs.positive.sum() > len(pairs)
    assert at_once
    assert triplets_of(mine(miner, pairs)) == at_once == sorted(at_once)


def test_places_are_where_the_flattened_mask_is_true():
    mask = torch.rand(7, 5, generator=torch.Generator().manual_seed(0)) < 0.3
    found = listing.places_of(mask)
    assert found.dtype == torch.int64
    assert found.tolist() == [i for i, true in enumerate(mask.flatten().tolist()) if true]
    assert listing.places_of(mask.T).tolist() == listing.places_of(mask.T.contiguous()).tolist()
