r"""CosFace: classification by cosine similarity, with a margin for the true class.

.. math:: L = -\operatorname{mean}_i \log \frac{e^{s (\cos \theta_{y_i} - m)}}
          {e^{s (\cos \theta_{y_i} - m)} + \sum_{c \ne y_i} e^{s \cos \theta_c}}, \quad
          \cos \theta_c = \frac{x_i \cdot w_c}{\lVert x_i \rVert \lVert w_c \rVert}

The margin is subtracted from the cosine itself; ArcFace adds one to the angle.

Paper: H. Wang, Y. Wang, Z. Zhou, X. Ji, D. Gong, J. Zhou, Z. Li, W. Liu, CosFace: Large Margin
Cosine Loss for Deep Face Recognition, CVPR 2018, arXiv 1801.09414. Embeddings and weights of
length 1, no bias.

In the wild: margin 0.35 and scale 64 (InsightFace, pytorch-metric-learning), or scale 30 in other
code for faces. Tuned for retrieval they came out at 0.34 to 0.62 and 88 to 162 (Musgrave et al.,
ECCV 2020, arXiv 2003.08505).

Our choice: 0.35 and 64; class weights as in our ArcFace, that is uniform in
:math:`\pm 1 / \sqrt{D}`, with 50 times the network's learning rate (that of Roth et al., ICML 2020,
arXiv 2002.08473, for ArcFace) and weight decay 5e-4, so that the two differ by the margin alone.

How it is computed: scale and margin are worked into the one matrix of logits as it is made.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlbench import LogUniform, Loss, Pairs, Selection, Uniform


class CosFace(Loss):
    """CosFace: cross entropy of scaled cosines, the true class's lowered by a margin.

    Args:
        num_classes: number of training classes.
        embedding_dim: dimension of the embeddings.
        margin: what is subtracted from the true class's cosine.
        scale: what cosines are multiplied by.
    """

    takes = "labels"
    paper = (
        "Wang, Wang, Zhou, Ji, Gong, Zhou, Li, Liu. CosFace: Large Margin Cosine Loss for Deep "
        "Face Recognition. CVPR 2018. arXiv 1801.09414"
    )
    differences = (
        "Class weights have 50 times the network's learning rate, because one rate for all, right "
        "when everything is trained from scratch, hardly moves them in fine-tuning."
    )
    reducer = "mean"
    own_lr_multiple = 50.0
    own_weight_decay = 5e-4

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_dim: int,
        margin: Annotated[float, Uniform(0.0, 1.0)] = 0.35,
        scale: Annotated[float, LogUniform(1.0, 256.0)] = 64.0,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.scale = scale
        bound = embedding_dim**-0.5
        self.weight = nn.Parameter(torch.empty(num_classes, embedding_dim).uniform_(-bound, bound))

    def forward(self, pairs: Pairs, selection: Selection | None = None) -> Tensor:
        """Return the mean cross entropy of the anchors, a scalar."""
        logits = (self.scale * pairs.anchors) @ F.normalize(self.weight).T
        margin = logits.new_full((len(pairs), 1), -self.scale * self.margin)
        # In place: a product's gradient does not need its result.
        logits.scatter_add_(1, pairs.labels[:, None], margin)
        return F.cross_entropy(logits, pairs.labels)
