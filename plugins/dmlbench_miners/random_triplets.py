"""Random triplets: each positive pair meets one negative of its anchor, all equally likely.

The floor under every other choice of triplets: what a miner gains, it gains over this one.
"""

import torch

from dmlbench import Miner, Pairs, Triplets


class RandomTriplets(Miner):
    """For every positive pair one negative at random; anchors without a negative have none.

    The draw comes from torch's global generator of the embeddings' device.
    """

    makes = "triplets"

    def select(self, pairs: Pairs) -> Triplets:
        """Return one triplet for every positive pair, in the order of anchor and positive."""
        negatives_of = pairs.negative.sum(1)
        anchor, positive = (pairs.positive & (negatives_of > 0)[:, None]).nonzero(as_tuple=True)
        columns = pairs.negative.nonzero(as_tuple=True)[1]
        first = negatives_of.cumsum(0) - negatives_of
        # An integer draw can't round up to the count, and its modulo bias is below 1e-11.
        draw = torch.randint(2**62, anchor.shape, device=anchor.device) % negatives_of[anchor]
        return Triplets(anchor, positive, columns[first[anchor] + draw])
