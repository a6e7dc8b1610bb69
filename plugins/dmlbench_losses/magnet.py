r"""Magnet loss: nearer to the nearest cluster of one's class than to clusters of other classes.

.. math:: L = \operatorname{mean}_i \Big[ -\log \frac
          {e^{-\lVert x_i - \mu(x_i) \rVert^2 / 2 \sigma^2 - \alpha}}
          {\sum_{\mu: c(\mu) \ne y_i} e^{-\lVert x_i - \mu \rVert^2 / 2 \sigma^2}} \Big]_+, \quad
          \sigma^2 = \frac{1}{N - 1} \sum_n \lVert x_n - \mu(x_n) \rVert^2

with :math:`\mu(x)` the nearest cluster mean of x's class. The means come from k-means in each class
over all N training items, and are recomputed before each epoch, as is the variance
:math:`\sigma^2`.

Paper: O. Rippel, M. Paluri, P. Dollar, L. Bourdev, Metric Learning with Adaptive Density
Discrimination, ICLR 2016, arXiv 1511.05939 (equation 4). It trains by an approximation of this
(equation 5) on batches made for it, of a few neighbouring clusters with some items each: means and
variance are those of the batch, and only the batch's clusters are in the denominator.

In the wild: implementations (pumpikano/tf-magnet-loss, vithursant/MagnetLoss-PyTorch) do the same
with :math:`\alpha` 1, but divide by :math:`2 \sigma^4`, the variance squared once too often.

Our choice: the loss itself, not its approximation: all clusters of all classes, constant during an
epoch, so that ordinary batches will do. :math:`\alpha` 1, at most 3 clusters a class and no more
than one for every two items, so that no item is a cluster of its own, which attracts nothing.
Embeddings have length 1, as in evaluation; the means keep their length.

How it is computed: :math:`\lVert x \rVert^2` cancels out of the fraction, so :math:`(x \cdot \mu -
\lVert \mu \rVert^2 / 2) / \sigma^2` serves as the logit. k-means is faiss's.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import IntUniform, Loss, Pairs, PluginError, Selection, Uniform
from dmlbench_losses.read_once import ReadOnce

_SMALLEST_VARIANCE = 1e-6  # far below that of unit vectors, and keeps logits finite


class Magnet(Loss):
    """Magnet loss: soft nearest clusters, which k-means finds in each class before each epoch.

    Args:
        num_classes: number of training classes.
        embedding_dim: dimension of the embeddings.
        alpha: by how much, in units of the logits, the own class's cluster must be ahead.
        clusters: clusters a class, fewer in classes of fewer than twice as many items.
    """

    takes = "labels"
    paper = (
        "Rippel, Paluri, Dollar, Bourdev. Metric Learning with Adaptive Density Discrimination. "
        "ICLR 2016. arXiv 1511.05939"
    )
    differences = (
        "The exact loss over all clusters, found anew before each epoch; the paper trains by an "
        "approximation on batches of neighbouring clusters."
    )
    reducer = "mean"
    starts_epochs = True

    means: Tensor
    offset: Tensor
    variance: Tensor

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_dim: int,
        alpha: Annotated[float, Uniform(0.0, 10.0)] = 1.0,
        clusters: Annotated[int, IntUniform(1, 16)] = 3,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.register_buffer("means", torch.zeros(num_classes, clusters, embedding_dim))
        self.register_buffer("offset", torch.full((num_classes, clusters), -torch.inf))
        self.register_buffer("variance", torch.zeros(()))
        self._variance = ReadOnce()

    def start_epoch(self, embeddings: Tensor, labels: Tensor) -> None:
        """Find each class's clusters and their common variance.

        Args:
            embeddings: of all training items ``[N, D]``.
            labels: their class ids ``[N]``.
        """
        self.offset.fill_(-torch.inf)
        if not torch.isfinite(embeddings).all():
            self.means.fill_(torch.nan)  # makes the loss NaN, which can't be overlooked
            self.variance.fill_(torch.nan)
            return
        total = 0.0
        order = labels.argsort(stable=True)
        sizes = labels.bincount(minlength=len(self.means)).tolist()
        for label, items in enumerate(embeddings[order].float().cpu().split(sizes)):
            if len(items):
                means, squared_distances = _k_means(items, self.means.shape[1])
                means = means.to(self.means)
                self.means[label, : len(means)] = means
                self.offset[label, : len(means)] = -means.square().sum(1) / 2
                total += squared_distances
        self.variance.fill_(max(total / max(len(labels) - 1, 1), _SMALLEST_VARIANCE))

    def forward(self, pairs: Pairs, selection: Selection | None = None) -> Tensor:
        """Return the mean over the anchors, a scalar.

        Raises:
            PluginError: `start_epoch` was never called.
        """
        if self._variance(self.variance) == 0:
            raise PluginError(
                "The loss magnet has no clusters yet: call start_epoch with the embeddings and "
                "labels of all training items before the first step."
            )
        products = torch.addmm(self.offset.flatten(), pairs.anchors, self.means.flatten(0, 1).T)
        logits = (products / self.variance).view(len(pairs), *self.offset.shape)
        rows = torch.arange(len(pairs), device=logits.device)
        own = logits[rows, pairs.labels].amax(1)
        # The lowest finite number, since the gradient of a sum over nothing but -inf is NaN.
        logits[rows, pairs.labels] = torch.finfo(logits.dtype).min
        others = logits.flatten(1).logsumexp(1)
        return (self.alpha + others - own).relu().mean()


def _k_means(items: Tensor, clusters: int) -> tuple[Tensor, float]:
    """Return the means of one class's items ``[K, D]`` and the sum of squared distances to them."""
    import faiss

    count = max(1, min(clusters, len(items) // 2))
    vectors = items.contiguous().numpy()
    found = faiss.Kmeans(vectors.shape[1], count, niter=20, seed=0, min_points_per_centroid=1)
    found.train(vectors)
    squared_distances, _ = found.index.search(vectors, 1)
    return torch.from_numpy(found.centroids), float(squared_distances.sum())
