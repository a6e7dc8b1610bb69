r"""P2SGrad: classification with cosines in place of probabilities in the gradient.

.. math:: L = \operatorname{mean}_i \frac{1}{2} \sum_c (\cos \theta_{ic} - [c = y_i])^2, \quad
          \cos \theta_{ic} = \frac{x_i \cdot w_c}{\lVert x_i \rVert \lVert w_c \rVert}

Paper: X. Zhang, R. Zhao, J. Yan, M. Gao, Y. Qiao, X. Wang, H. Li, P2SGrad: Refined Gradients for
Optimizing Deep Face Models, CVPR 2019, arXiv 1905.02479. It defines the gradient,
:math:`\sum_c (\cos \theta_{ic} - [c = y_i]) \nabla \cos \theta_{ic}`: that of softmax cross entropy
with the probability replaced. The loss above has this gradient. There is no hyper-parameter.

In the wild: pytorch-metric-learning, after the speech code of X. Wang (NII), takes the mean over
the classes, so that the gradient is 2 / C of the paper's. It normalises the class weights before
each step and treats their length as constant: its gradient lacks the term along a class weight that
makes it orthogonal to the weight. Plain SGD loses nothing, as the length is reset; Adam, which
scales each entry, does. Here only the direction counts.

Our choice: the paper's gradient. Class weights uniform in :math:`\pm 1 / \sqrt{D}` with 50 times
the network's learning rate, as for ArcFace, and no weight decay: their length does not matter.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dmlbench import Loss, Pairs, Selection

_SMALLEST_LENGTH = 1e-12  # that of `F.normalize`


class P2SGrad(Loss):
    """P2SGrad: squared error of the cosines to the class weights: 1 for the true class, else 0.

    Args:
        num_classes: number of training classes.
        embedding_dim: dimension of the embeddings.
    """

    takes = "labels"
    paper = (
        "Zhang, Zhao, Yan, Gao, Qiao, Wang, Li. P2SGrad: Refined Gradients for Optimizing Deep "
        "Face Models. CVPR 2019. arXiv 1905.02479"
    )
    differences = (
        "pytorch-metric-learning averages over the classes, which divides the paper's gradient by "
        "half their number, and lacks the term of the gradient along a class weight."
    )
    reducer = "sum over classes, mean over items"
    own_lr_multiple = 50.0
    own_weight_decay = 0.0

    def __init__(self, *, num_classes: int, embedding_dim: int) -> None:
        super().__init__()
        bound = embedding_dim**-0.5
        self.weight = nn.Parameter(torch.empty(num_classes, embedding_dim).uniform_(-bound, bound))

    def forward(self, pairs: Pairs, selection: Selection | None = None) -> Tensor:
        """Return the mean over the anchors, a scalar."""
        value: Tensor = _SquaredErrors.apply(pairs.anchors, self.weight, pairs.labels)
        return value


class _SquaredErrors(torch.autograd.Function):
    r"""Divides the products, not the weights, by the weights' lengths, which saves a copy of them.

    A gradient by a weight has no part along the weight. What is taken away for that needs cosines
    only, since :math:`\sum_i e_{ic} x_i \cdot w_c / \lVert w_c \rVert
    = \sum_i e_{ic} \cos \theta_{ic}`.
    """

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(weight, dim=1).clamp_min_(_SMALLEST_LENGTH)
        cosine = (anchors @ weight.T).to(weight.dtype).div_(length)
        own = labels[:, None]
        error = cosine.scatter_(1, own, cosine.gather(1, own) - 1)
        ctx.save_for_backward(anchors, weight, labels, length, error)
        return error.flatten().dot(error.flatten()) / (2 * len(anchors))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, change: Tensor) -> tuple[Tensor, Tensor, None]:
        anchors, weight, labels, length, error = ctx.saved_tensors
        share = change / len(anchors) / length
        slope = error * share
        along = torch.linalg.vector_norm(error, dim=0).square_()  # the cosine is the error …
        along.index_add_(0, labels, error.gather(1, labels[:, None]).squeeze(1))  # … or 1 more
        by_weight = slope.T @ anchors.to(slope.dtype)
        by_weight.addcmul_(weight, (along * share / length)[:, None], value=-1)
        return slope @ weight, by_weight, None
