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

In the wild: the authors' code takes the anchor for one of its positives, as for Smooth-AP, and its
configuration sets the value at :math:`\delta` to 1.44, a small step down from 1.493.

Our choice: the authors' values, the anchor left out, and h continuous at :math:`\delta`.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import LogUniform, Loss, Pairs, Selection, Uniform, active_mean, as_pair_mask
from dmlbench_losses.soft_ranks import Step, count_before, sigmoid_step

_EXACT = Step(value=lambda differences: (differences >= 0).to(differences.dtype), slope=torch.zero_)


class Roadmap(Loss):
    """ROADMAP: average precision with negatives that stay steep, and calibrated similarities.

    Args:
        temperature: what differences of similarities are divided by.
        slope: of the step, where a negative is far before a positive.
        reach: difference of similarities from which on it is that far.
        pos_margin: similarity from which on a positive needs no calibration.
        neg_margin: similarity up to which a negative needs no calibration.
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
        chosen = as_pair_mask(selection, pairs)
        similarity = pairs.similarity
        anchor, positive = chosen.positive.nonzero(as_tuple=True)
        where = similarity, anchor, positive
        with torch.no_grad():
            (among_positives,) = count_before(*where, [chosen.positive], _EXACT)
        (negatives,) = count_before(*where, [chosen.negative], self.step)
        missed = negatives / (among_positives + negatives)
        number = chosen.positive.sum(1)
        ranking = (missed / number[anchor]).sum() / (number > 0).sum().clamp_min(1)
        pull = active_mean(self.pos_margin - similarity, chosen.positive)
        push = active_mean(similarity - self.neg_margin, chosen.negative)
        return ranking + self.calibration * (pull + push)


def _steep_step(temperature: float, slope: float, reach: float) -> Step:
    smooth = sigmoid_step(temperature)

    def value(differences: Tensor) -> Tensor:
        ahead = (differences > 0).to(differences.dtype)
        beyond = (differences - reach).relu_()
        near = smooth.value(differences.clamp_max_(reach))
        return near.add_(ahead, alpha=0.5).add_(beyond, alpha=slope)

    def derivative(differences: Tensor) -> Tensor:
        far = differences > reach
        return smooth.slope(differences).masked_fill_(far, slope)

    return Step(value, derivative)
