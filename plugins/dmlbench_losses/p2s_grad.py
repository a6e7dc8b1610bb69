r"""P2SGrad: classification whose gradient has cosines in the place of probabilities.

.. math:: L = \operatorname{mean}_i \frac{1}{2} \sum_c (\cos \theta_{ic} - [c = y_i])^2, \quad
          \cos \theta_{ic} = \frac{x_i \cdot w_c}{\lVert x_i \rVert \lVert w_c \rVert}

Paper: X. Zhang, R. Zhao, J. Yan, M. Gao, Y. Qiao, X. Wang, H. Li, P2SGrad: Refined Gradients for
Optimizing Deep Face Models, CVPR 2019, arXiv 1905.02479. It defines the gradient,
:math:`\sum_c (\cos \theta_{ic} - [c = y_i]) \nabla \cos \theta_{ic}`: that of softmax cross entropy
with the probability replaced. The loss above has this gradient. There is no hyper-parameter.

In the wild: pytorch-metric-learning, after the speech code of X. Wang (NII), takes the mean over
the classes, so that the gradient is 2 / C of the paper's; it brings the class weights to length 1
before each step, where here only their direction counts.

Our choice: the paper's gradient. Class weights uniform in :math:`\pm 1 / \sqrt{D}` with 50 times
the network's learning rate, as for ArcFace, and no weight decay: their length does not matter.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlbench import Loss, Pairs, Selection


class P2SGrad(Loss):
    """P2SGrad: squared error of the cosines to the class weights, 1 for the own class, else 0.

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
        "half their number."
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
        cosine = pairs.anchors @ F.normalize(self.weight).T
        target = torch.zeros_like(cosine).scatter_(1, pairs.labels[:, None], 1)
        return F.mse_loss(cosine, target, reduction="sum") / (2 * len(pairs))
