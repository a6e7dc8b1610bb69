r"""Centroid triplet loss: an anchor nearer to the centroid of its class than to any other.

.. math:: L = \operatorname{mean}_{(a, c): \ell > 0} \ell, \quad
          \ell = \big[\lVert x_a - \bar{x}_{y_a \setminus a} \rVert - \lVert x_a - \bar{x}_c \rVert
          + m\big]_+

with the mean :math:`\bar{x}_c` of all references of a class c other than the anchor's, and the mean
of the anchor's class without the anchor itself. The means are not normalised.

Paper: M. Wieczorek, B. Rychalska, J. Dabrowski, On the Unreasonable Effectiveness of Centroids in
Image Retrieval, ICONIP 2021, arXiv 2104.13643. It trains the term together with a triplet loss,
a centre loss and a cross entropy, and retrieves by centroids too.

In the wild: the authors' code has a margin of 0.5 for embeddings that are not normalised, takes
only the nearest wrong centroid or anchor, and leaves one image of every class out of its centroid
at a time. pytorch-metric-learning 3 takes squared distances and all wrong centroids, margin 0.05.

Our choice: the term alone, unit vectors, plain distances, margin 0.2 and mean over non-zero as in
our triplet loss, against all wrong centroids. Centroids are always means of all references: a
selected positive says that its anchor counts, a selected negative that its class is compared.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import Loss, PairMask, Pairs, Selection, Uniform, active_mean, as_pair_mask

# Keeps the gradient of a square root finite at distance 0.
_SMALLEST_SQUARED_DISTANCE = 1e-12


class CentroidTriplet(Loss):
    """Centroid triplet loss: compares an anchor with class means that leave it out.

    Args:
        margin: by how much nearer, in Euclidean distance.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Wieczorek, Rychalska, Dabrowski. On the Unreasonable Effectiveness of Centroids in Image "
        "Retrieval. ICONIP 2021. arXiv 2104.13643"
    )
    differences = (
        "The term alone, without the paper's triplet loss, centre loss and cross entropy, on unit "
        "vectors and against all wrong centroids; the authors' code takes the nearest."
    )
    reducer = "mean over non-zero"

    def __init__(self, *, margin: Annotated[float, Uniform(0.0, 1.0)] = 0.2) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean over the terms above 0 of anchors and other classes, a scalar, or 0."""
        chosen = as_pair_mask(selection, pairs)
        anchors, references = pairs.anchors, pairs.references
        classes, column = pairs.reference_labels.unique(return_inverse=True)
        sums = references.new_zeros(len(classes), references.shape[1])
        sums = sums.index_add(0, column, references)
        sizes = column.bincount(minlength=len(classes)).to(sums.dtype)[:, None]
        centroids = sums / sizes
        squared = (
            anchors.square().sum(1, keepdim=True)
            + centroids.square().sum(1)
            - 2 * anchors @ centroids.T
        )
        to_other = squared.clamp_min(_SMALLEST_SQUARED_DISTANCE).sqrt()
        own, itself = torch.searchsorted(classes, pairs.labels), pairs.self_index[:, None] >= 0
        own = own.clamp_max(len(classes) - 1)  # A class without references has no positives either.
        centroid = (sums[own] - anchors * itself) / (sizes[own] - itself.long()).clamp_min(1)
        squared = (anchors - centroid).square().sum(1, keepdim=True)
        to_own = squared.clamp_min(_SMALLEST_SQUARED_DISTANCE).sqrt()
        return active_mean(to_own - to_other + self.margin, _compared(chosen, column, len(classes)))


def _compared(chosen: PairMask, column: Tensor, classes: int) -> Tensor:
    """Return which anchors count against which classes ``[B, C]``."""
    touched = torch.zeros(classes, len(chosen.negative), device=column.device)
    touched.index_add_(0, column, chosen.negative.T.to(touched.dtype))
    return (touched.T > 0) & chosen.positive.any(1, keepdim=True)
