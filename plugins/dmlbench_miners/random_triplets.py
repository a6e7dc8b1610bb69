"""Random triplets: each positive pair with one negative of its anchor, all equally likely.

The baseline for every other choice of triplets.
"""

from dmlbench import Miner, Pairs, Triplets
from dmlbench_miners.draws import one_for_each


class RandomTriplets(Miner):
    """For every positive pair one negative at random; anchors without a negative have none.

    The draw comes from torch's global generator of the CPU, the same on every device.
    """

    makes = "triplets"

    def select(self, pairs: Pairs) -> Triplets:
        """Return one triplet for every positive pair, in the order of anchor and positive."""
        up_to = pairs.negative.cumsum(1)
        return one_for_each(pairs.positive & (up_to[:, -1:] > 0), up_to)
