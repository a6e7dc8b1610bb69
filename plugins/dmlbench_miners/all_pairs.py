"""All pairs: no mining at all, the loss sees every positive and every negative."""

from dmlbench import Miner, PairMask, Pairs


class AllPairs(Miner):
    """Every positive and every negative of the batch; as triplets, every one that they span."""

    makes = "pairs"

    def select(self, pairs: Pairs) -> PairMask:
        """Return the masks of all positives and of all negatives, each ``[B, M]``."""
        return PairMask(pairs.positive, pairs.negative)
