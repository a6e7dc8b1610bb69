"""Normalised softmax against plain loops."""

from support.loss_loops import Batch, check_on_labels, cosine, softmax_terms
from torch import Tensor

from dmlbench_losses.normalized_softmax import NormalizedSoftmax


def by_loops(loss: NormalizedSoftmax, batch: Batch, selection: None) -> Tensor:
    return softmax_terms(
        batch, lambda i, c: cosine(batch.anchor(i), loss.weight[c]) / loss.temperature
    )


def test_agrees_with_plain_loops():
    check_on_labels(NormalizedSoftmax, by_loops)
