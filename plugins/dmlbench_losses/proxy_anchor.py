r"""Proxy-Anchor: each learned proxy is an anchor for the embeddings of a batch.

.. math:: L = \frac{1}{|C^+|} \sum_{c \in C^+}
          \log\Big(1 + \sum_{i: y_i = c} e^{-\alpha (s_{ci} - \delta)}\Big)
          + \frac{1}{|C|} \sum_{c \in C}
          \log\Big(1 + \sum_{i: y_i \ne c} e^{\alpha (s_{ci} + \delta)}\Big)

with cosine similarities :math:`s`, all classes C, and the classes of the batch :math:`C^+`.

Paper: S. Kim, D. Kim, M. Cho, S. Kwak, Proxy Anchor Loss for Deep Metric Learning, CVPR 2020,
arXiv 2003.13911. :math:`\alpha` 32, :math:`\delta` 0.1. In the authors' code the proxies are drawn
by He's normal initialisation (fan out, standard deviation :math:`\sqrt{2 / |C|}`) and have 100
times the network's learning rate and its weight decay (1e-4).

In the wild: the same in pytorch-metric-learning. The authors draw batches at random, without
balancing classes, and train the proxies and the last layer alone for an epoch before the rest.

Our choice: the authors' throughout.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlbench import LogUniform, Loss, Pairs, Selection, Uniform


class ProxyAnchor(Loss):
    """Proxy-Anchor: soft maxima over each proxy's hardest positives and negatives.

    Args:
        num_classes: number of training classes.
        embedding_dim: dimension of the embeddings.
        alpha: sharpness.
        delta: margin, in cosine similarity.
    """

    takes = "labels"
    paper = (
        "Kim, Kim, Cho, Kwak. Proxy Anchor Loss for Deep Metric Learning. CVPR 2020. "
        "arXiv 2003.13911"
    )
    differences = (
        "Proxies and network learn together from the first step; the authors train the proxies "
        "and the last layer alone for an epoch."
    )
    paper_sampler = ("random", {})
    reducer = "mean over classes of the batch (positives) and over all classes (negatives)"
    own_lr_multiple = 100.0
    own_weight_decay = 1e-4

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_dim: int,
        alpha: Annotated[float, LogUniform(1.0, 256.0)] = 32.0,
        delta: Annotated[float, Uniform(0.0, 1.0)] = 0.1,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.delta = delta
        self.proxies = nn.Parameter(torch.empty(num_classes, embedding_dim))
        nn.init.kaiming_normal_(self.proxies, mode="fan_out")

    def forward(self, pairs: Pairs, selection: Selection | None = None) -> Tensor:
        """Return the sum of both means, a scalar."""
        similarity = F.normalize(self.proxies) @ pairs.anchors.T
        own = pairs.labels[None]
        present = pairs.labels.unique(sorted=False)
        positive = -self.alpha * (similarity.gather(0, own) - self.delta)
        positive = positive.masked_fill(own != present[:, None], -torch.inf)
        negative = (self.alpha * (similarity + self.delta)).scatter(0, own, -torch.inf)
        return _log_one_plus_sum_exp(positive).mean() + _log_one_plus_sum_exp(negative).mean()


def _log_one_plus_sum_exp(values: Tensor) -> Tensor:
    # The column of zeros stands for the 1; it keeps the sum of an empty row above 0.
    return F.pad(values, (0, 1)).logsumexp(1)
