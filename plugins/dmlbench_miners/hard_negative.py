"""Hard negatives: every positive pair with the nearest negative of its anchor.

    all (a, p, n) with  n = argmin_{n in N(a)} d_an

Paper: F. Schroff, D. Kalenichenko, J. Philbin, FaceNet: A Unified Embedding for Face Recognition
and Clustering, CVPR 2015, arXiv 1503.03832. It uses all anchor-positive pairs of a mini-batch and
selects among the negatives only, which it found more stable than picking the hardest positive. It
also found that the hardest negatives can collapse the model early in training, which led it to
semi-hard ones.

In the wild: pytorch-metric-learning's BatchEasyHardMiner with all positives and hard negatives
chooses the same pairs; as pairs, a negative counts once, not once for each positive.

Our choice: triplets, whether or not they violate a margin.
"""

from dmlbench import Miner, Pairs, Triplets
from dmlbench_miners.extremes import exists, nearest
from dmlbench_miners.listing import places_of


class HardNegative(Miner):
    """Every positive pair with the hardest negative of its anchor.

    Anchors without a negative are left out.
    """

    makes = "triplets"
    paper = (
        "Schroff, Kalenichenko, Philbin: FaceNet: A Unified Embedding for Face Recognition and "
        "Clustering, CVPR 2015, arXiv 1503.03832"
    )

    def select(self, pairs: Pairs) -> Triplets:
        """Return one triplet for every positive pair, in the order of anchor and positive."""
        to_negative, negative = nearest(pairs.squared_distance, pairs.negative)
        places = places_of(pairs.positive & exists(to_negative)[:, None])
        anchor = places // len(pairs.references)
        return Triplets(anchor, places - anchor * len(pairs.references), negative[anchor])
