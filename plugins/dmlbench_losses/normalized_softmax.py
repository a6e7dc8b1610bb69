r"""Normalised softmax: classification by cosine similarity to class weights.

.. math:: L = -\operatorname{mean}_i \log
          \frac{e^{x_i \cdot w_{y_i} / T}}{\sum_c e^{x_i \cdot w_c / T}}, \quad
          \lVert x \rVert = \lVert w \rVert = 1

Paper: A. Zhai, H.-Y. Wu, Classification is a Strong Baseline for Deep Metric Learning, BMVC 2019,
arXiv 1811.12649. Temperature 0.05, no bias, layer normalisation before the embedding (part of the
protocol here, not of the loss). In the authors' code the class weights start uniform in
:math:`\pm 1 / \sqrt{D}` and have the network's learning rate and weight decay (1e-4), after an
epoch in which the new layers train alone.

In the wild: pytorch-metric-learning draws the weights from N(0, 1). Their length matters: the
longer, the slower their direction turns at the same learning rate.

Our choice: the authors' throughout.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlbench import LogUniform, Loss, Pairs, Selection


class NormalizedSoftmax(Loss):
    """Normalised softmax: cross entropy of cosine similarities to one weight vector per class.

    Args:
        num_classes: number of training classes.
        embedding_dim: dimension of the embeddings.
        temperature: what cosine similarities are divided by.
    """

    takes = "labels"
    paper = (
        "Zhai, Wu. Classification is a Strong Baseline for Deep Metric Learning. BMVC 2019. "
        "arXiv 1811.12649"
    )
    differences = (
        "The paper's layer normalisation belongs to the protocol here. pytorch-metric-learning "
        "draws longer class weights, which turn more slowly."
    )
    reducer = "mean"
    own_lr_multiple = 1.0
    own_weight_decay = 1e-4

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_dim: int,
        temperature: Annotated[float, LogUniform(0.001, 1.0)] = 0.05,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        bound = embedding_dim**-0.5
        self.weight = nn.Parameter(torch.empty(num_classes, embedding_dim).uniform_(-bound, bound))

    def forward(self, pairs: Pairs, selection: Selection | None = None) -> Tensor:
        """Return the mean cross entropy of the anchors, a scalar."""
        logits = (pairs.anchors / self.temperature) @ F.normalize(self.weight).T
        return F.cross_entropy(logits, pairs.labels)
