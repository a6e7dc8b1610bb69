r"""R-Margin: a margin loss that sometimes pushes items of one class apart.

.. math:: L = \frac{1}{A} \sum_{(a, p, n)} \begin{cases}
          [d_{ap} - \beta + m]_+ + [\beta - d_{an} + m]_+ & \text{with probability } 1 - q \\
          [\beta - d_{as} + m]_+ & \text{with probability } q \end{cases}

with :math:`d_{ij} = \lVert x_i - x_j \rVert` of unit vectors, A the number of terms above 0, and s
another item of the anchor's class, all equally likely. It works against the compression of the
embeddings, which the paper finds correlated with how they generalise.

Paper: K. Roth, T. Milbich, S. Sinha, P. Gupta, B. Ommer, J. P. Cohen, Revisiting Training
Strategies and Generalization Performance in Deep Metric Learning, ICML 2020, arXiv 2002.08473
(rho regularisation). In the authors' code a switched triplet consists of the anchor twice and an
item of its class, so that its first term is 0 and no positive is pulled; there is one triplet an
anchor. :math:`q` is 0.2 by default and in their runs 0.4 (CUB-200-2011), 0.35 (Cars196) or 0.15
(SOP), :math:`\beta` starts at 0.6, one for each class, with 50 times the network's learning rate;
:math:`m` 0.2; negatives are drawn by distance, 2 items a class. It divides as their margin loss
does, by the triplets with a term above 0.

Our choice: the authors', but one learned :math:`\beta` for all classes as in our margin loss, no
weight decay on it, :math:`q` 0.2, and one draw for each triplet. A pair mask stands for all
triplets that it spans; then one draw serves all triplets with the same anchor and negative.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlbench import Loss, PairMask, Pairs, Selection, Uniform, draw_below, random_shares
from dmlbench_losses.dense import as_numbers, is_above, is_below, weighted_distance


class RMargin(Loss):
    """Margin loss with rho regularisation: some negatives come from the anchor's own class.

    The draw comes from torch's global generator of the CPU, the same on every device. In evaluation
    mode nothing is switched: it is margin loss then.

    Args:
        margin: by how much nearer or farther, in Euclidean distance of unit vectors.
        beta: the boundary's distance before training.
        switched: probability that a triplet pushes an item of its anchor's class instead.
    """

    takes = "triplets"
    default_miner = "distance-weighted"
    paper = (
        "Roth, Milbich, Sinha, Gupta, Ommer, Cohen. Revisiting Training Strategies and "
        "Generalization Performance in Deep Metric Learning. ICML 2020. arXiv 2002.08473"
    )
    differences = (
        "One learned boundary for all classes, where the authors learn one for each. They divide "
        "by the triplets with a term above 0 instead of by these terms: up to twice ours."
    )
    reducer = "mean over non-zero"
    own_lr_multiple = 50.0
    own_weight_decay = 0.0
    paper_sampler = ("m-per-class", {"m": 2})

    def __init__(
        self,
        *,
        margin: Annotated[float, Uniform(0.0, 1.0)] = 0.2,
        beta: Annotated[float, Uniform(0.0, 2.0)] = 0.6,
        switched: Annotated[float, Uniform(0.0, 1.0)] = 0.2,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.beta = nn.Parameter(torch.tensor(float(beta)))
        self.switched = switched

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean of the selected triplets' terms above 0, a scalar; 0 if there is none."""
        with torch.no_grad():  # Linear in distances and boundary once the terms above 0 are known.
            pull, push = self._occurrences(pairs, selection)
            pull.mul_(is_above(pairs.distance, self.beta - self.margin))
            push.mul_(is_below(pairs.distance, self.beta + self.margin))
            pulls, pushes = pull.sum(), push.sum()
            weight = pull.sub_(push)
        total = weighted_distance(pairs, weight) + self.beta * (pushes - pulls)
        return (total + self.margin * (pulls + pushes)) / (pulls + pushes).clamp_min(1)

    def _occurrences(self, pairs: Pairs, selection: Selection) -> tuple[Tensor, Tensor]:
        """Count the triplets that pull each pair ``[B, M]``, and those that push it."""
        _, classmates = pairs.positive.nonzero(as_tuple=True)
        number = pairs.positive.sum(1)
        if isinstance(selection, PairMask):
            switched = self._draw(selection.negative) & selection.negative
            switched &= (number > 0)[:, None]
            kept = as_numbers(selection.negative & ~switched, pairs.distance)
            pull = as_numbers(selection.positive, pairs.distance)
            positives = pull.sum(1, keepdim=True)
            pull.mul_(kept.sum(1, keepdim=True))
            push = kept.mul_(positives)
            anchor, _ = switched.nonzero(as_tuple=True)
            drawn = draw_below(number[:, None].expand_as(switched))[switched]
            pushed = _classmate(anchor, drawn, classmates, number)
            return pull, push.index_put_((anchor, pushed), positives[anchor, 0], accumulate=True)
        anchor = selection.anchor
        switched = self._draw(anchor) & (number > 0)[anchor]
        classmate = _classmate(anchor, draw_below(number[anchor]), classmates, number)
        pushed = torch.where(switched, classmate, selection.negative)
        once = pairs.distance.new_ones(len(anchor))
        pull, push = torch.zeros_like(pairs.distance), torch.zeros_like(pairs.distance)
        pull.index_put_((anchor, selection.positive), once * ~switched, accumulate=True)
        return pull, push.index_put_((anchor, pushed), once, accumulate=True)

    def _draw(self, like: Tensor) -> Tensor:
        probability = self.switched if self.training else 0.0
        return random_shares(like.shape, like.device) < probability


def _classmate(anchor: Tensor, drawn: Tensor, classmates: Tensor, number: Tensor) -> Tensor:
    """Return the classmate drawn for each anchor ``[T]``, any reference where there is none.

    Args:
        anchor: indices ``[T]``.
        drawn: which of its classmates ``[T]``.
        classmates: the references of each anchor's class except itself, one anchor after the other.
        number: how many of them each anchor has ``[B]``.
    """
    first = number.cumsum(0) - number
    return F.pad(classmates, (0, 1))[first[anchor] + drawn]
