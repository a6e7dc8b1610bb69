r"""SoftTriple: a softmax over classes that have several centres each.

.. math:: L = -\operatorname{mean}_i \log \frac{e^{\lambda (S_{i y_i} - \delta)}}
          {e^{\lambda (S_{i y_i} - \delta)} + \sum_{c \ne y_i} e^{\lambda S_{ic}}}
          + \frac{\tau}{C K (K - 1)} \sum_c \sum_{k < l} \sqrt{2 - 2 w_{ck} \cdot w_{cl}}

.. math:: S_{ic} = \sum_k \frac{e^{x_i \cdot w_{ck} / \gamma}}{\sum_l e^{x_i \cdot w_{cl} / \gamma}}
          \, x_i \cdot w_{ck}

with embeddings and the K centres of each of C classes of length 1: the similarity to a class is a
soft maximum over its centres, and the second term merges centres that a class does not need.

Paper: Q. Qian, L. Shang, B. Sun, J. Hu, H. Li, R. Jin, SoftTriple Loss: Deep Metric Learning
Without Triplet Sampling, ICCV 2019, arXiv 1909.05235. In the authors' code (for Cars196):
:math:`\lambda` 20, :math:`\gamma` 0.1, :math:`\tau` 0.2, :math:`\delta` 0.01, K 10; centres uniform
in :math:`\pm 1 / \sqrt{C K}`, with 100 times the network's learning rate and its weight decay
(1e-4); batches drawn at random.

In the wild: pytorch-metric-learning leaves the second term to a separate regulariser, off by
default. Roth et al. (ICML 2020, arXiv 2002.08473) take the soft maximum over the classes and
normalise along the wrong axis. Tuned for retrieval, :math:`\gamma` from 19 to 59 was best, nearly a
mean over the centres (Musgrave et al., ECCV 2020, arXiv 2003.08505).

Our choice: the authors' throughout, with their 1e-5 under the root.

How it is computed: each row holds the first centres of all classes, then all second ones, so that
the soft maximum runs over whole rows; only pairs of centres within a class are ever multiplied.
With many classes the products are computed for some classes at a time, and again for the gradient.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dmlbench import IntUniform, LogUniform, Loss, Pairs, Selection, Uniform

_PRODUCTS = 2**21
"""Products of embeddings and centres that are in memory at once."""


class SoftTriple(Loss):
    """SoftTriple: cross entropy of soft maxima over each class's learned centres.

    Args:
        num_classes: number of training classes.
        embedding_dim: dimension of the embeddings.
        scale: what similarities to classes are multiplied by (lambda).
        gamma: softness of the maximum over a class's centres.
        tau: weight of the term that merges centres.
        margin: what is subtracted from the similarity to the true class (delta).
        centers: centres a class (K).
    """

    takes = "labels"
    paper = (
        "Qian, Shang, Sun, Hu, Li, Jin. SoftTriple Loss: Deep Metric Learning Without Triplet "
        "Sampling. ICCV 2019. arXiv 1909.05235"
    )
    differences = (
        "As in the authors' code; pytorch-metric-learning has no term that merges centres unless "
        "it is asked for."
    )
    reducer = "mean"
    own_lr_multiple = 100.0
    own_weight_decay = 1e-4
    paper_sampler = ("random", {})

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_dim: int,
        scale: Annotated[float, LogUniform(1.0, 256.0)] = 20.0,
        gamma: Annotated[float, LogUniform(0.01, 100.0)] = 0.1,
        tau: Annotated[float, Uniform(0.0, 1.0)] = 0.2,
        margin: Annotated[float, Uniform(0.0, 1.0)] = 0.01,
        centers: Annotated[int, IntUniform(1, 20)] = 10,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.gamma = gamma
        self.tau = tau
        self.margin = margin
        bound = (num_classes * centers) ** -0.5
        shape = (centers, num_classes, embedding_dim)
        self.centers = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))

    def forward(self, pairs: Pairs, selection: Selection | None = None) -> Tensor:
        """Return the mean cross entropy of the anchors with the merging term, a scalar."""
        length = torch.linalg.vector_norm(self.centers, dim=2, keepdim=True).clamp_min(1e-12)
        centers = self.centers * length.reciprocal()  # the gradient of a division takes more passes
        soft_maximum = _soft_maxima(pairs.anchors / self.gamma, centers)
        logits = (self.scale * self.gamma) * soft_maximum
        margin = logits.new_full((len(pairs), 1), -self.scale * self.margin)
        logits.scatter_add_(1, pairs.labels[:, None], margin)
        loss = F.cross_entropy(logits, pairs.labels)
        if self.tau > 0 and len(centers) > 1:
            loss = loss + self.tau * _mean_distance_within(centers.transpose(0, 1))
        return loss


def _soft_maxima(anchors: Tensor, centers: Tensor) -> Tensor:
    """Return the soft maxima ``[B, C]`` of the products with centres ``[K, C, D]``.

    The products with all centres ``[B, K, C]`` may not fit into memory: then they are computed for
    some classes at a time, and again in the backward pass.
    """
    at_once = max(1, _PRODUCTS // (len(anchors) * len(centers)))
    if at_once >= centers.shape[1]:
        return _soft_maximum(anchors, centers)
    parts = [
        checkpoint(_soft_maximum, anchors, some, use_reentrant=False, preserve_rng_state=False)
        for some in centers.split(at_once, dim=1)
    ]
    return torch.cat(parts, dim=1)


def _soft_maximum(anchors: Tensor, centers: Tensor) -> Tensor:
    products = (anchors @ centers.flatten(0, 1).T).view(len(anchors), *centers.shape[:2])
    return (products.softmax(1) * products).sum(1)


def _mean_distance_within(centers: Tensor) -> Tensor:
    """Return the sum of distances within classes over C K (K - 1), of centres ``[C, K, D]``."""
    classes, per_class, _ = centers.shape
    # Each pair twice, with a gradient to one end at a time: saves a product in the backward pass.
    products = centers @ centers.detach().mT
    itself = torch.eye(per_class, dtype=torch.bool, device=centers.device)
    distance = (2 + 1e-5 - 2 * products).masked_fill(itself, 1).sqrt().masked_fill(itself, 0)
    twice = distance.sum()
    return (twice - twice.detach() / 2) / (classes * per_class * (per_class - 1))
