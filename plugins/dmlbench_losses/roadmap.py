r"""ROADMAP: an upper bound of 1 - AP (SupAP), and a calibration of similarities across batches.

.. math:: L = 1 - \operatorname{mean}_a \frac{1}{|P_a|} \sum_{p \in P_a}
          \frac{r^+_{ap}}{r^+_{ap} + \sum_{j \in N_a} h(s_{aj} - s_{ap})}
          + \lambda \Big(\operatorname{mean}_{(a, p)} (m_p - s_{ap})
          + \operatorname{mean}_{(a, n)} (s_{an} - m_n)\Big)

with cosine similarities :math:`s`, the exact rank :math:`r^+` of a positive among the positives
(no gradient) and a step that does not become flat for negatives far before the positive:

.. math:: h(x) = \begin{cases} \sigma(x / T) & x \le 0 \\ \sigma(x / T) + 1/2 & 0 < x \le \delta \\
          \rho (x - \delta) + \sigma(\delta / T) + 1/2 & x > \delta \end{cases}

The means of the calibration run over terms above 0, positives and negatives apart.

Paper: E. Ramzi, N. Thome, C. Rambour, N. Audebert, X. Bitot, Robust and Decomposable Average
Precision for Image Retrieval, NeurIPS 2021, arXiv 2110.01445. The authors' configuration: T 0.01,
:math:`\rho` 100, :math:`\delta` 0.05, margins 0.9 and 0.6, both parts with weight 1, 4 images a
class.

In the wild: the authors' code treats the anchor as one of its positives, as for Smooth-AP, and its
configuration sets the value at :math:`\delta` to 1.44, a small step down from 1.493.

Our choice: the authors' values, the anchor left out, and h continuous at :math:`\delta`.

How it is computed: all differences of similarities at once would be a tensor of B P M entries. Here
a block of positive pairs at a time goes through the processor's cache, value and gradient together:
the slope of h uses the same sigmoid. Memory O(B M), time O(B P M).
"""

import math
from collections.abc import Callable
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dmlbench import LogUniform, Loss, PairMask, Pairs, Selection, Uniform, as_pair_mask
from dmlbench_losses.dense import is_above

_DIFFERENCES_IN_A_BLOCK = 2**17
# Beyond it a sigmoid is below the rounding of a rank, and soon a denormal number, which is slow.
_LOWEST_EXPONENT = -40

Step = Callable[[Tensor], tuple[Tensor, Tensor]]


class Roadmap(Loss):
    """ROADMAP: average precision with negatives that stay steep, and calibrated similarities.

    Args:
        temperature: what differences of similarities are divided by.
        slope: slope of the step where a negative is far ahead of a positive.
        reach: difference of similarities beyond which it is that far ahead.
        pos_margin: similarity above which a positive needs no calibration.
        neg_margin: similarity below which a negative needs no calibration.
        calibration: weight of the calibration.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Ramzi, Thome, Rambour, Audebert, Bitot. Robust and Decomposable Average Precision for "
        "Image Retrieval. NeurIPS 2021. arXiv 2110.01445"
    )
    differences = (
        "The authors' code counts the anchor as one of its own positives, which is left out here, "
        "and its step has a small jump where the linear part begins."
    )
    reducer = "mean over anchors with a positive; calibration: mean over non-zero"

    def __init__(
        self,
        *,
        temperature: Annotated[float, LogUniform(0.001, 1.0)] = 0.01,
        slope: Annotated[float, LogUniform(1.0, 1000.0)] = 100.0,
        reach: Annotated[float, Uniform(0.0, 1.0)] = 0.05,
        pos_margin: Annotated[float, Uniform(-1.0, 1.0)] = 0.9,
        neg_margin: Annotated[float, Uniform(-1.0, 1.0)] = 0.6,
        calibration: Annotated[float, Uniform(0.0, 10.0)] = 1.0,
    ) -> None:
        super().__init__()
        self.step = _steep_step(temperature, slope, reach)
        self.pos_margin = pos_margin
        self.neg_margin = neg_margin
        self.calibration = calibration

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the sum of both parts, a scalar; 0 if no pair is selected."""
        value: Tensor = _Roadmap.apply(pairs.similarity, as_pair_mask(selection, pairs), self)
        return value


class _Roadmap(torch.autograd.Function):
    """Computes the gradient with the value."""

    @staticmethod
    def forward(ctx: Any, similarity: Tensor, chosen: PairMask, loss: Roadmap) -> Tensor:
        gradient = torch.zeros_like(similarity)
        where = chosen.positive.nonzero(as_tuple=True)
        own = similarity[where]
        lowest = torch.finfo(similarity.dtype).min / 2  # far behind all, as is a difference
        others = torch.where(chosen.negative, similarity, lowest)
        value = _rank(own, where, others, loss.step, gradient)
        pull, pulled = _active_mean(loss.pos_margin - own)
        gradient.index_put_(where, pulled.mul_(-loss.calibration), accumulate=True)
        push, pushed = _active_mean(others.sub_(loss.neg_margin))
        gradient.add_(pushed, alpha=loss.calibration)
        ctx.save_for_backward(gradient)
        return value + loss.calibration * (pull + push)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, change: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * change, None, None


def _rank(
    own: Tensor, where: tuple[Tensor, ...], others: Tensor, step: Step, gradient: Tensor
) -> Tensor:
    """Return the ranking part and add its gradient.

    Args:
        own: similarities of the positive pairs ``[T]``.
        where: their rows and columns, each ``[T]``.
        others: similarities of the negatives, the lowest elsewhere ``[B, M]``.
        step: h and its slope.
        gradient: with respect to the similarities ``[B, M]``.
    """
    anchor, positive = where
    number = anchor.bincount(minlength=len(others))
    rank = _rank_among_positives(own, anchor, number)
    share = (number[anchor] * (number > 0).sum()).to(own.dtype).reciprocal()
    value = own.new_zeros(())
    rows, columns = others.shape
    size = min(rows, max(1, _DIFFERENCES_IN_A_BLOCK // max(1, columns)))
    for block in torch.arange(len(own), device=own.device).split(size):
        steps, slopes = step(others[anchor[block]].sub_(own[block, None]))
        before, among = steps.sum(1), rank[block]
        value += (share[block] * before / (among + before)).sum()
        slopes *= (share[block] * among / (among + before).square())[:, None]
        gradient.index_add_(0, anchor[block], slopes)
        gradient.index_put_((anchor[block], positive[block]), -slopes.sum(1), accumulate=True)
    return value


def _rank_among_positives(own: Tensor, anchor: Tensor, number: Tensor) -> Tensor:
    """Return how many of its anchor's positives are not behind each, counting itself ``[T]``."""
    first = number.cumsum(0) - number
    column = torch.arange(len(own), device=own.device) - first[anchor]
    table = own.new_full((len(number), int(number.max()) + 1), torch.inf)
    table[anchor, column] = -own
    return torch.searchsorted(table.sort(1).values, table, right=True)[anchor, column].to(own.dtype)


def _active_mean(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of the values above 0, which are overwritten, and its gradient."""
    above = is_above(values, 0)
    number = above.sum().clamp_min(1)
    return values.relu_().sum() / number, above.div_(number)


def _steep_step(temperature: float, slope: float, reach: float) -> Step:
    """Return h and its slope as a function that overwrites its argument."""
    at_reach = 1 / (1 + math.exp(-reach / temperature))
    steeper = slope - at_reach * (1 - at_reach) / temperature

    def step(differences: Tensor) -> tuple[Tensor, Tensor]:
        ahead, far = is_above(differences, 0), is_above(differences, reach)
        near = differences.clamp_max(reach)
        beyond = differences.sub_(near)
        near.div_(temperature).clamp_min_(_LOWEST_EXPONENT).sigmoid_()
        slopes = torch.addcmul(near, near, near, value=-1).div_(temperature)
        values = near.add_(ahead, alpha=0.5).add_(beyond, alpha=slope)
        return values, slopes.add_(far, alpha=steeper)

    return step
