r"""Centre loss: pulls every embedding to the running centre of its class.

.. math:: L = \frac{1}{2 B} \sum_i \lVert x_i - c_{y_i} \rVert^2

After each step the centres of the batch's classes follow the batch:

.. math:: c_j \leftarrow c_j - \alpha
          \frac{\sum_{i: y_i = j} (c_j - x_i)}{1 + \lvert \{i: y_i = j\} \rvert}

It is a regulariser: alone, it is smallest where all embeddings are one point.

Paper: Y. Wen, K. Zhang, Z. Li, Y. Qiao, A Discriminative Feature Learning Approach for Deep Face
Recognition, ECCV 2016 (no arXiv id), which adds it to the softmax cross entropy of the same
embeddings, of any length. In the authors' code it is a mean over the batch as above; its weight is
0.008 for faces and 0.01 for MNIST; centres start by Xavier's initialisation, and :math:`\alpha` is
the solver's learning rate (0.1 and 0.01, falling), with momentum and weight decay.

In the wild: :math:`\alpha` 0.5 (pytorch-metric-learning). In other code the centres are parameters
that the optimiser trains by the loss's gradient, which then includes the term's weight and has no 1
in the denominator; the half is often left out, so that weights are not comparable.

Our choice: the rule above with :math:`\alpha` 0.5, centres at 0 before training, beside
cross-entropy with the authors' weight for faces, 0.008. It trains on embeddings as they are, as
that cross entropy does: it could only rotate embeddings of length 1.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import Loss, Pairs, Selection, Uniform


class Center(Loss):
    """Centre loss: squared distances to the running centres of the classes.

    Args:
        num_classes: number of training classes.
        embedding_dim: dimension of the embeddings.
        alpha: how fast the centres follow.
    """

    takes = "labels"
    paper = (
        "Wen, Zhang, Li, Qiao. A Discriminative Feature Learning Approach for Deep Face "
        "Recognition. ECCV 2016"
    )
    differences = (
        "Centres start at 0 and follow at a constant rate of 0.5, whatever the optimiser; in the "
        "authors' code the solver moves them, at its learning rate."
    )
    reducer = "mean"
    normalize = False
    trained_as = "cross-entropy+0.008*center"
    paper_sampler = ("random", {})

    centers: Tensor

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_dim: int,
        alpha: Annotated[float, Uniform(0.0, 1.0)] = 0.5,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.register_buffer("centers", torch.zeros(num_classes, embedding_dim))

    def forward(self, pairs: Pairs, selection: Selection | None = None) -> Tensor:
        """Return half the mean squared distance to the centres, a scalar; then move the centres.

        In evaluation mode the centres stay where they are.
        """
        offset = pairs.anchors - self.centers[pairs.labels]
        if self.training:
            self._follow(offset.detach(), pairs.labels)
        return offset.square().sum(1).mean() / 2

    @torch.no_grad()
    def _follow(self, offset: Tensor, labels: Tensor) -> None:
        items = (labels[:, None] == labels).sum(1)
        step = self.alpha * offset / (1 + items)[:, None]
        self.centers.index_add_(0, labels, step.to(self.centers.dtype))
