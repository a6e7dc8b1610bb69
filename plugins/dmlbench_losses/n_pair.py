r"""Multi-class N-pair loss: each positive pair against the other classes, by inner products.

.. math:: L = \operatorname{mean}_{(a, p)} \log \Big(1 + \sum_{n \in N_a}
          e^{x_a \cdot x_n - x_a \cdot x_p}\Big)
          + \frac{\lambda}{2} \big(\lVert x_a \rVert^2 + \lVert x_p \rVert^2\big)

with embeddings :math:`x` of any length.

Paper: K. Sohn, Improved Deep Metric Learning with Multi-class N-pair Loss Objective, NIPS 2016 (no
arXiv id). A batch is N pairs of N classes; the negatives of an anchor are the positives of the
other N - 1 pairs. The embeddings are not normalised, their squared lengths are penalised.

In the wild: the penalty is 0.002 / 4 times the mean squared length of the anchors and as much of
the positives (TensorFlow), 0.005 times the mean length, not squared, with one random positive an
anchor and all negatives (Roth et al., ICML 2020, arXiv 2002.08473), or absent, with embeddings
normalised and one pair a class (pytorch-metric-learning).

Our choice: one term each positive pair, against everything selected of other classes; not
normalised, since between inner products of -1 and 1 the loss could not fall below
:math:`\log(1 + |N_a| / e^2)` (with a temperature it would be NT-Xent); :math:`\lambda` 0.005. The
paper's batches, two items a class, are the paper's sampler.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import Loss, Pairs, Selection, Uniform, as_pair_mask


class NPair(Loss):
    """N-pair loss: softmax over inner products of embeddings that are not normalised.

    Args:
        length_weight: of the mean squared length of the embeddings.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = "Sohn. Improved Deep Metric Learning with Multi-class N-pair Loss Objective. NIPS 2016"
    differences = (
        "All selected items of other classes are negatives, where the paper takes one of each "
        "class; known code differs in the penalty of the lengths, and pytorch-metric-learning "
        "normalises the embeddings and has no penalty."
    )
    paper_sampler = ("m-per-class", {"m": 2})
    reducer = "mean over positive pairs"
    normalize = False

    def __init__(self, *, length_weight: Annotated[float, Uniform(0.0, 0.1)] = 0.005) -> None:
        super().__init__()
        self.length_weight = length_weight

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean over the selected positive pairs, a scalar; 0 if there is none."""
        chosen = as_pair_mask(selection, pairs)
        logits = pairs.similarity
        negative = _log_sum_exp(logits, chosen.negative)
        anchor, positive = chosen.positive.nonzero(as_tuple=True)
        excess = negative[anchor] - logits[anchor, positive]
        terms = torch.logaddexp(excess, excess.new_zeros(()))
        squared_lengths = (
            pairs.anchors.square().sum(1)[anchor] + pairs.references.square().sum(1)[positive]
        )
        terms = terms + self.length_weight / 2 * squared_lengths
        return terms.sum() / max(len(terms), 1)


def _log_sum_exp(values: Tensor, mask: Tensor) -> Tensor:
    # The lowest finite number, since a sum over nothing but -inf has a gradient of NaN; and by
    # log_softmax, since on a CPU logsumexp is ten times as slow where most exponentials are 0.
    values = values.masked_fill(~mask, torch.finfo(values.dtype).min)
    top = values.argmax(1, keepdim=True)
    return (values.gather(1, top) - values.log_softmax(1).gather(1, top)).squeeze(1)
