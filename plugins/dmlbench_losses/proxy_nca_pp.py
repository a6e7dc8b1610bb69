r"""ProxyNCA++: a softmax over proxies, sharpened by a low temperature.

.. math:: L = -\operatorname{mean}_i \log
          \frac{e^{-d^2(x_i, p_{y_i})}}{\sum_c e^{-d^2(x_i, p_c)}}, \quad
          d(x, p) = \lVert x - p \rVert, \quad \lVert x \rVert = \lVert p \rVert = \sigma

Unlike in Proxy-NCA, the own class's proxy *is* in the denominator: the fraction is the probability
that the embedding belongs to its class, and the lowest loss is 0.

Paper: E. W. Teh, T. DeVries, G. W. Taylor, ProxyNCA++: Revisiting and Revitalizing Proxy
Neighborhood Component Analysis, ECCV 2020, arXiv 2004.01113. Temperature 1/9, which in the authors'
code is a length :math:`\sigma` of 3. Proxies there start from N(0, 1/8^2) without weight decay and
move fast: their learning rate is 100,000 times the network's on CUB (400 beside 0.004), 10,000
times on SOP, under Adam with an epsilon of 1, which makes its steps as small as the gradients. Max
pooling, layer normalisation and 4 items a class are parts of the protocol, not of the loss.

In the wild: pytorch-metric-learning has it under the name Proxy-NCA, at length 1.

Our choice: the authors', but proxies with 100 times the network's learning rate, the most that we
know of with the usual Adam (Proxy-Anchor, arXiv 2003.13911): with its usual epsilon the length of a
step does not depend on the gradient's, and 100,000 times would be far too large.

How it is computed: :math:`-d^2(x, p) = 2 \sigma^2 (\cos(x, p) - 1)`, and the constant cancels out
of the fraction.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlbench import LogUniform, Loss, Pairs, Selection


class ProxyNCAPlusPlus(Loss):
    """ProxyNCA++: cross entropy of squared distances to one learned proxy per class.

    Args:
        num_classes: number of training classes.
        embedding_dim: dimension of the embeddings.
        scale: length to which embeddings and proxies are normalised; the temperature is 1 /
            scale^2.
    """

    takes = "labels"
    paper = (
        "Teh, DeVries, Taylor. ProxyNCA++: Revisiting and Revitalizing Proxy Neighborhood "
        "Component Analysis. ECCV 2020. arXiv 2004.01113"
    )
    differences = (
        "Proxies have 100 times the network's learning rate; the authors have 10,000 or 100,000 "
        "times, under Adam with epsilon 1."
    )
    reducer = "mean"
    own_lr_multiple = 100.0
    own_weight_decay = 0.0

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_dim: int,
        scale: Annotated[float, LogUniform(0.5, 12.0)] = 3.0,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.proxies = nn.Parameter(torch.randn(num_classes, embedding_dim) / 8)

    def forward(self, pairs: Pairs, selection: Selection | None = None) -> Tensor:
        """Return the mean cross entropy of the anchors, a scalar."""
        logits = (2 * self.scale**2 * pairs.anchors) @ F.normalize(self.proxies).T
        return F.cross_entropy(logits, pairs.labels)
