"""Batch-hard mining against plain loops."""

from support.miner_loops import (
    Loops,
    every_batch,
    every_seed,
    mine,
    of_different_lengths,
    triplets_of,
)

from dmlbench_miners.batch_hard import BatchHard


@every_batch
@every_seed
def test_batch_hard_takes_the_furthest_positive_and_the_nearest_negative(make_pairs, seed):
    pairs = make_pairs(seed)
    loops = Loops(pairs)
    expected = [
        (
            a,
            max(loops.positives[a], key=loops.distance[a].__getitem__),
            min(loops.negatives[a], key=loops.distance[a].__getitem__),
        )
        for a in loops.anchors
        if loops.positives[a] and loops.negatives[a]
    ]
    assert expected
    assert triplets_of(mine(BatchHard(), pairs)) == expected


def test_hardness_is_by_euclidean_distance_where_lengths_differ():
    expected = [(0, 1, 2), (1, 0, 2), (2, 3, 0), (3, 2, 0)]
    assert triplets_of(mine(BatchHard(), of_different_lengths())) == expected
