r"""Sub-center ArcFace: ArcFace with several weight vectors per class, of which the nearest counts.

.. math:: L = -\operatorname{mean}_i \log \frac{e^{s \cos(\theta_{i y_i} + m)}}
          {e^{s \cos(\theta_{i y_i} + m)} + \sum_{c \ne y_i} e^{s \cos \theta_{ic}}}, \quad
          \cos \theta_{ic} = \max_k \cos(x_i, w_{ck})

with the same branch beyond 180 degrees as in ArcFace. An outlier of a class may have a sub-centre
of its own, and then does not pull the others towards it.

Paper: J. Deng, J. Guo, T. Liu, M. Gong, S. Zafeiriou, Sub-center ArcFace: Boosting Face Recognition
by Large-Scale Noisy Web Faces, ECCV 2020 (no arXiv id). In the authors' code: 3 sub-centres, margin
0.5 radians = 28.6 degrees, scale 64; weights from N(0, 0.01^2), with the network's learning rate
(0.1, from scratch) and weight decay (5e-4). A second training follows, with only the dominant
sub-centres and without items further than 75 degrees from them, to remove noisy labels.

In the wild: pytorch-metric-learning has the loss, and a function that finds the outliers.

Our choice: the authors' first training; class weights as in our ArcFace, that is uniform in
:math:`\pm 1 / \sqrt{D}` with 50 times the network's learning rate. The labels of the sets here are
clean, so there is no second training.
"""

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor

from dmlbench import IntUniform, LogUniform, Pairs, Selection, Uniform
from dmlbench_losses.arcface import ArcFace


class SubCenterArcFace(ArcFace):
    """Sub-center ArcFace: ArcFace on the nearest of several weight vectors of each class.

    Args:
        num_classes: number of training classes.
        embedding_dim: dimension of the embeddings.
        margin: angle added for the true class, in degrees.
        scale: what cosines are multiplied by.
        sub_centers: weight vectors a class.
    """

    paper = (
        "Deng, Guo, Liu, Gong, Zafeiriou. Sub-center ArcFace: Boosting Face Recognition by "
        "Large-Scale Noisy Web Faces. ECCV 2020"
    )
    differences = (
        "No second training without outliers. Class weights have 50 times the network's learning "
        "rate, the authors' (from scratch) the same."
    )
    paper_sampler = ("random", {})

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_dim: int,
        margin: Annotated[float, Uniform(0.0, 90.0)] = 28.6,
        scale: Annotated[float, LogUniform(1.0, 256.0)] = 64.0,
        sub_centers: Annotated[int, IntUniform(1, 10)] = 3,
    ) -> None:
        # The first sub-centres of all classes, then all second ones: the maximum runs over whole
        # rows.
        super().__init__(
            num_classes=sub_centers * num_classes,
            embedding_dim=embedding_dim,
            margin=margin,
            scale=scale,
        )
        self.sub_centers = sub_centers

    def forward(self, pairs: Pairs, selection: Selection | None = None) -> Tensor:
        """Return the mean cross entropy of the anchors, a scalar."""
        to_all = pairs.anchors @ F.normalize(self.weight).T
        cosine = to_all.view(len(pairs), self.sub_centers, -1).max(1).values
        target = pairs.labels[:, None]
        logits = cosine.scatter(1, target, self._with_margin(cosine.gather(1, target)))
        return F.cross_entropy(self.scale * logits, pairs.labels)
