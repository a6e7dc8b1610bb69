r"""Cross entropy: plain classification of the embeddings by a linear layer.

.. math:: L = -\operatorname{mean}_i \sum_c t_{ic} \log
          \frac{e^{w_c \cdot x_i + b_c}}{\sum_k e^{w_k \cdot x_i + b_k}}, \quad
          t_{ic} = \begin{cases} 1 - \epsilon & c = y_i \\ \epsilon / (C - 1) & c \ne y_i
          \end{cases}

Paper: M. Boudiaf, J. Rony, I. M. Ziko, E. Granger, M. Pedersoli, P. Piantanida, I. Ben Ayed,
A Unifying Mutual Information View of Metric Learning: Cross-Entropy vs. Pairwise Losses, ECCV 2020,
arXiv 2003.08983. In the authors' code: label smoothing :math:`\epsilon` 0.1; embeddings and weights
of any length; weights and biases that start at 0 and have the network's learning rate and weight
decay (5e-4, biases none). Dropout and normalisation layers are parts of the protocol, not of the
loss. They evaluate by cosine, too.

In the wild: label smoothing often spreads :math:`\epsilon` over all C classes, including the true
one (PyTorch): that equals :math:`\epsilon (C - 1) / C` here. The authors' value is the
Kullback-Leibler divergence, lower by a constant.

Our choice: the authors' throughout, but with the weight decay on the biases as well. Embeddings
keep their length: with length 1 this would be another loss (normalized-softmax), whose logits need
a scale. The bias stays because it absorbs class frequencies, which then need not show in the
embeddings.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlbench import Loss, Pairs, Selection, Uniform


class CrossEntropy(Loss):
    """Cross entropy of a linear classifier on the embeddings, with label smoothing.

    Args:
        num_classes: number of training classes.
        embedding_dim: dimension of the embeddings.
        label_smoothing: share of the target that the other classes have in total.
    """

    takes = "labels"
    paper = (
        "Boudiaf, Rony, Ziko, Granger, Pedersoli, Piantanida, Ben Ayed. A Unifying Mutual "
        "Information View of Metric Learning: Cross-Entropy vs. Pairwise Losses. ECCV 2020. "
        "arXiv 2003.08983"
    )
    differences = "As in the authors' code, but the biases have the weights' weight decay."
    reducer = "mean"
    own_lr_multiple = 1.0
    own_weight_decay = 5e-4
    normalize = False
    paper_sampler = ("random", {})

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_dim: int,
        label_smoothing: Annotated[float, Uniform(0.0, 0.5)] = 0.1,
    ) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.weight = nn.Parameter(torch.zeros(num_classes, embedding_dim))
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, pairs: Pairs, selection: Selection | None = None) -> Tensor:
        """Return the mean cross entropy of the anchors, a scalar."""
        logits = F.linear(pairs.anchors, self.weight, self.bias)
        classes = len(self.weight)
        over_all = self.label_smoothing * classes / (classes - 1) if classes > 1 else 0.0
        return F.cross_entropy(logits, pairs.labels, label_smoothing=over_all)
