r"""VICReg: makes two views alike, keeps every dimension varying, and decorrelates dimensions.

.. math:: L = \lambda \operatorname{mean}_{i, d} (z_{id} - z'_{id})^2
          + \frac{\mu}{2} \sum_{Z, Z'} \operatorname{mean}_d
          \Big[1 - \sqrt{\operatorname{var}_i z_{id} + \epsilon}\Big]_+
          + \nu \sum_{Z, Z'} \frac{1}{D} \sum_{d \ne e} \operatorname{cov}_i(z_{id}, z_{ie})^2

with the embeddings :math:`Z` of the first views and :math:`Z'` of the second, not normalised, and
:math:`\epsilon` 0.0001. It needs no labels.

Paper: A. Bardes, J. Ponce, Y. LeCun, VICReg: Variance-Invariance-Covariance Regularization for
Self-Supervised Learning, ICLR 2022, arXiv 2105.04906. The authors' code has weights 25, 25 and 1
and halves the sum of both views' variance terms; batches of 2048 drawn at random.

In the wild: the same in pytorch-metric-learning. The authors train on the output of a projector of
three layers of 8192, which is thrown away afterwards.

Our choice: the authors' weights, on the embeddings themselves.
"""

from typing import Annotated

from torch import Tensor

from dmlbench import LogUniform, Loss, Pairs, PluginError, Selection

_EPSILON = 1e-4


class VICReg(Loss):
    """VICReg: agreement of two views, with variance and covariance terms against collapse.

    Args:
        invariance: weight of the distance between both views of an image.
        variance: weight of how far each dimension's standard deviation falls short of 1.
        covariance: weight of the squared covariances of different dimensions.
    """

    takes = "labels"
    paper = (
        "Bardes, Ponce, LeCun. VICReg: Variance-Invariance-Covariance Regularization for "
        "Self-Supervised Learning. ICLR 2022. arXiv 2105.04906"
    )
    differences = (
        "On the embeddings themselves, where the paper has a wide projector between them and the "
        "loss. It sees no labels."
    )
    reducer = "mean"
    paper_sampler = ("random", {})
    normalize = False
    views = 2

    def __init__(
        self,
        *,
        invariance: Annotated[float, LogUniform(0.1, 100.0)] = 25.0,
        variance: Annotated[float, LogUniform(0.1, 100.0)] = 25.0,
        covariance: Annotated[float, LogUniform(0.01, 100.0)] = 1.0,
    ) -> None:
        super().__init__()
        self.invariance = invariance
        self.variance = variance
        self.covariance = covariance

    def forward(self, pairs: Pairs, selection: Selection | None = None) -> Tensor:
        """Return the loss, a scalar.

        Raises:
            PluginError: an odd number of embeddings, which can't be two views.
        """
        if len(pairs) % 2:
            raise PluginError(f"The loss vicreg needs two views of each item, not {len(pairs)}.")
        views = pairs.anchors.chunk(2)
        apart = (views[0] - views[1]).square().mean()
        lacking, shared = zip(*map(_variance_and_covariance, views), strict=True)
        value: Tensor = (
            self.invariance * apart
            + self.variance * sum(lacking) / 2
            + self.covariance * sum(shared)
        )
        return value


def _variance_and_covariance(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far a view's deviations fall short of 1, and its squared covariances."""
    centred = embeddings - embeddings.mean(0)
    covariance = centred.T @ centred / max(len(centred) - 1, 1)
    deviation = (covariance.diagonal() + _EPSILON).sqrt()
    above_diagonal = covariance.triu(1).square().sum()
    return (1 - deviation).relu().mean(), 2 * above_diagonal / len(deviation)
