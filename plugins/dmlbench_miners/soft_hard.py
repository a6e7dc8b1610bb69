"""Soft-hard triplets: a random one of the positives and of the negatives that are out of order.

    p at random from  {p in P(a): d_ap > min_{n in N(a)} d_an}
    n at random from  {n in N(a): d_an < max_{p in P(a)} d_ap}

Softer than batch-hard, which takes the extremes of both sets every time and with them every
mislabelled image. One set is empty if and only if the other is, and then the anchor's pairs are all
in order: p and n come at random from all of P(a) and of N(a).

Paper: K. Roth, T. Milbich, S. Sinha, P. Gupta, B. Ommer, J. P. Cohen, Revisiting Training
Strategies and Generalization Performance in Deep Metric Learning, ICML 2020, arXiv 2002.08473, in
whose code it is found ("softhard"): one triplet an anchor, anchors without a positive left out.

Our choice: the same; anchors without a negative are left out too, where that code fails.
"""

from dmlbench import Miner, Pairs, Triplets
from dmlbench_miners.draws import draw
from dmlbench_miners.extremes import exists, furthest, nearest


class SoftHard(Miner):
    """For each anchor a random violating positive and a random violating negative.

    The draw comes from torch's global generator of the CPU, the same on every device.
    """

    makes = "triplets"
    paper = (
        "Roth, Milbich, Sinha, Gupta, Ommer, Cohen: Revisiting Training Strategies and "
        "Generalization Performance in Deep Metric Learning, ICML 2020, arXiv 2002.08473"
    )

    def select(self, pairs: Pairs) -> Triplets:
        """Return one triplet an anchor, in the order of the anchors.

        Anchors without a positive or without a negative are left out.
        """
        distance = pairs.squared_distance
        furthest_positive, _ = furthest(distance, pairs.positive)
        nearest_negative, _ = nearest(distance, pairs.negative)
        in_order = ~(furthest_positive > nearest_negative)[:, None]
        positive = pairs.positive & (in_order | (distance > nearest_negative[:, None]))
        negative = pairs.negative & (in_order | (distance < furthest_positive[:, None]))
        (anchor,) = (exists(furthest_positive) & exists(nearest_negative)).nonzero(as_tuple=True)
        drawn = (draw(mask[anchor].cumsum(1), 1).squeeze(1) for mask in (positive, negative))
        return Triplets(anchor, *drawn)
