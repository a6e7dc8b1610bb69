r"""Instance loss: separates the mean of each class in a batch from those of the other classes.

.. math:: L = -\operatorname{mean}_c \log
          \frac{e^{\gamma \cos(m_c, m_c)}}{\sum_k e^{\gamma \cos(m_c, m_k)}}, \quad
          m_c = \sum_{i: y_i = c} x_i

over the classes of the batch. Without repeated classes every item is a class of its own. It only
pushes apart and never pulls together, so it accompanies another loss.

Paper: Z. Zheng, L. Zheng, M. Garrett, Y. Yang, M. Xu, Y.-D. Shen, Dual-Path Convolutional
Image-Text Embeddings with Instance Loss, ACM TOMM 16(2), 2020, arXiv 1711.05535. There each image
with its sentences is a class of one softmax classifier, which serves both networks; with one
network and class labels that is plain cross entropy.

In the wild: the first author's code for re-identification compares the items of a batch with each
other, as above, and joins those of one class; he adds it to cross entropy with :math:`\gamma` 32
and a weight of 1 / 32, the inverse batch size, batches drawn at random. pytorch-metric-learning
(:math:`\gamma` 64) has an earlier state of it, which takes the number of an item's class for the
place of its partner in the batch and so pulls items of different classes together; without
repeated classes it is the same.

Our choice: the first author's present code, in his sum with cross entropy.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from dmlbench import LogUniform, Loss, Pairs, Selection

# Keeps the gradient small where the items of a class cancel out.
_SMALLEST_LENGTH = 1e-4


class Instance(Loss):
    """Instance loss: a softmax over the classes of the batch, each represented by its mean.

    Args:
        scale: what cosines are multiplied by.
    """

    takes = "labels"
    paper = (
        "Zheng, Zheng, Garrett, Yang, Xu, Shen. Dual-Path Convolutional Image-Text Embeddings with "
        "Instance Loss. ACM TOMM 2020. arXiv 1711.05535"
    )
    differences = (
        "The paper's is a classifier shared by an image and a text network. This is the first "
        "author's later form within a batch; pytorch-metric-learning mistakes the partners if a "
        "class has several items."
    )
    reducer = "mean over classes of the batch"
    trained_as = "cross-entropy+0.03125*instance"
    paper_sampler = ("random", {})

    def __init__(self, *, scale: Annotated[float, LogUniform(1.0, 256.0)] = 32.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, pairs: Pairs, selection: Selection | None = None) -> Tensor:
        """Return the mean over the classes of the batch, a scalar; 0 if there is one only."""
        classes, item = pairs.labels.unique(return_inverse=True)
        sums = pairs.anchors.new_zeros(len(classes), pairs.anchors.shape[1])
        sums.index_add_(0, item, pairs.anchors)
        length = torch.linalg.vector_norm(sums, dim=1, keepdim=True)
        means = sums / length.clamp_min(_SMALLEST_LENGTH)
        logits = self.scale * (means @ means.T)
        return F.cross_entropy(logits, torch.arange(len(classes), device=logits.device))
