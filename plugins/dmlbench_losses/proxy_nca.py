r"""Proxy-NCA: each embedding against one learned proxy per class.

.. math:: L = -\operatorname{mean}_i \log
          \frac{e^{-d^2(x_i, p_{y_i})}}{\sum_{c \ne y_i} e^{-d^2(x_i, p_c)}}, \quad
          d(x, p) = \lVert x - p \rVert, \quad \lVert x \rVert = \lVert p \rVert = \sigma

Paper: Y. Movshovitz-Attias, A. Toshev, T. K. Leung, S. Ioffe, S. Singh, No Fuss Distance Metric
Learning using Proxies, ICCV 2017, arXiv 1703.07464. The own class's proxy is *not* in the
denominator, so the loss can be negative and does not stop pulling.

In the wild: pytorch-metric-learning (length 1) and ProxyNCA++ (E. W. Teh, T. DeVries, G. W. Taylor,
ECCV 2020, arXiv 2004.01113, length 3) put it into the denominator, a softmax; Roth et al. (ICML
2020, arXiv 2002.08473) leave it out, as in the paper. With the network's learning rate the proxies
barely train: published multiples start at 50 (Roth et al.).

Our choice: the paper's form, length 3, proxies from N(0, 1/8^2) with 50 times the network's
learning rate and no weight decay (Roth et al.).

How it is computed: :math:`-d^2(x, p) = 2 \sigma^2 (\cos(x, p) - 1)`, and the constant cancels out
of the fraction.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlbench import ConfigError, LogUniform, Loss, Pairs, Selection


class ProxyNCA(Loss):
    """Proxy-NCA as published: nearer to the own class's proxy than to other proxies.

    Args:
        num_classes: number of training classes, at least 2.
        embedding_dim: dimension of the embeddings.
        scale: length to which embeddings and proxies are normalised.

    Raises:
        ConfigError: fewer than 2 classes, for which the denominator is empty.
    """

    takes = "labels"
    paper = (
        "Movshovitz-Attias, Toshev, Leung, Ioffe, Singh. No Fuss Distance Metric Learning using "
        "Proxies. ICCV 2017. arXiv 1703.07464"
    )
    differences = (
        "As in the paper, the own proxy is not in the denominator; in pytorch-metric-learning "
        "and ProxyNCA++ it is. Proxies have 50 times the network's learning rate (Roth et al.)."
    )
    paper_sampler = ("random", {})
    reducer = "mean"
    own_lr_multiple = 50.0
    own_weight_decay = 0.0

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_dim: int,
        scale: Annotated[float, LogUniform(0.5, 12.0)] = 3.0,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise ConfigError(
                f"The loss proxy-nca needs at least 2 training classes, not {num_classes}: its "
                "denominator runs over the proxies of the other classes. Choose another loss or "
                "a dataset with more classes."
            )
        self.scale = scale
        self.proxies = nn.Parameter(torch.randn(num_classes, embedding_dim) / 8)

    def forward(self, pairs: Pairs, selection: Selection | None = None) -> Tensor:
        """Return the mean over the anchors, a scalar that may be negative."""
        logits = (2 * self.scale**2 * pairs.anchors) @ F.normalize(self.proxies).T
        own = pairs.labels[:, None]
        others = logits.scatter(1, own, -torch.inf).logsumexp(1)
        return (others - logits.gather(1, own).squeeze(1)).mean()
