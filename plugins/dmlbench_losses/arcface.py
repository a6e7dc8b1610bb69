r"""ArcFace: classification by angle, with an angular margin for the true class.

.. math:: L = -\operatorname{mean}_i \log \frac{e^{s \cos(\theta_{y_i} + m)}}
          {e^{s \cos(\theta_{y_i} + m)} + \sum_{c \ne y_i} e^{s \cos \theta_c}}, \quad
          \cos \theta_c = \frac{x_i \cdot w_c}{\lVert x_i \rVert \lVert w_c \rVert}

Where :math:`\theta + m > \pi`, the cosine would rise again; :math:`\cos \theta - m \sin m` takes
its place, so that the loss keeps falling with :math:`\theta`.

Paper: J. Deng, J. Guo, N. Xue, S. Zafeiriou, ArcFace: Additive Angular Margin Loss for Deep Face
Recognition, CVPR 2019, arXiv 1801.07698. Margin 0.5 radians = 28.6 degrees, scale 64; class weights
have the network's learning rate (0.1, from scratch) and weight decay (5e-4).

In the wild: the margin is in degrees in pytorch-metric-learning, in radians elsewhere; the branch
beyond :math:`\pi` is often missing. Roth et al. (ICML 2020, arXiv 2002.08473; scale 16) clamp
cosines to [0, 1] and, in a first version, gave every logit the margin, which softmax cancels.

Our choice: the paper's margin (in degrees), scale and weight decay; class weights uniform in
:math:`\pm 1 / \sqrt{D}` with 50 times the network's learning rate (Roth et al.), because a common
rate, which suits training from scratch, hardly moves them in fine-tuning.
"""

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlbench import LogUniform, Loss, Pairs, Selection, Uniform


class ArcFace(Loss):
    """ArcFace: cross entropy of scaled cosines, with a margin added to the true class's angle.

    Args:
        num_classes: number of training classes.
        embedding_dim: dimension of the embeddings.
        margin: angle added for the true class, in degrees.
        scale: what cosines are multiplied by.
    """

    takes = "labels"
    paper = (
        "Deng, Guo, Xue, Zafeiriou. ArcFace: Additive Angular Margin Loss for Deep Face "
        "Recognition. CVPR 2019. arXiv 1801.07698"
    )
    differences = (
        "Class weights have 50 times the network's learning rate, the paper's (from scratch) "
        "the same. The branch beyond 180 degrees is missing in much code; the margin is in "
        "degrees here and in pytorch-metric-learning, elsewhere in radians."
    )
    paper_sampler = ("random", {})
    reducer = "mean"
    own_lr_multiple = 50.0
    own_weight_decay = 5e-4

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_dim: int,
        margin: Annotated[float, Uniform(0.0, 90.0)] = 28.6,
        scale: Annotated[float, LogUniform(1.0, 256.0)] = 64.0,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.scale = scale
        bound = embedding_dim**-0.5
        self.weight = nn.Parameter(torch.empty(num_classes, embedding_dim).uniform_(-bound, bound))

    def forward(self, pairs: Pairs, selection: Selection | None = None) -> Tensor:
        """Return the mean cross entropy of the anchors, a scalar."""
        cosine = pairs.anchors @ F.normalize(self.weight).T
        target = pairs.labels[:, None]
        logits = cosine.scatter(1, target, self._with_margin(cosine.gather(1, target)))
        return F.cross_entropy(self.scale * logits, pairs.labels)

    def _with_margin(self, cosine: Tensor) -> Tensor:
        margin = math.radians(self.margin)
        # Keeps the gradient of the sine finite where the angle is 0 or 180 degrees.
        sine = (1 - cosine.square()).clamp_min(torch.finfo(cosine.dtype).eps).sqrt()
        shifted = cosine * math.cos(margin) - sine * math.sin(margin)
        beyond = cosine - margin * math.sin(margin)
        return torch.where(cosine >= -math.cos(margin), shifted, beyond)
