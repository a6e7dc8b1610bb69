"""Verification: are two items of one class? Figures over all pairs of query and gallery item."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dmlbench.errors import ConfigError, DataError
from dmlbench.retrieval.distances import Distance, as_distance
from dmlbench.retrieval.engine.similarity_blocks import similarity_blocks
from dmlbench.retrieval.inputs import read_inputs

if TYPE_CHECKING:
    from dmlbench.retrieval.inputs import Embeddings, Labels

# Similarities of every distance stay between these two, see `distances`.
_LOWEST, _HIGHEST = -2.001, 1.001


@dataclass(frozen=True)
class VerificationResult:
    """Figures of accepting a pair when its similarity reaches a threshold.

    TAR (true accept rate) is the share of positive pairs accepted, FAR (false accept rate) that of
    negative pairs.
    """

    tar_at_far: dict[float, float]
    """FAR -> the highest TAR of a threshold whose FAR is no higher."""
    equal_error_rate: float
    """The lowest, over thresholds, of the larger of FAR and 1 - TAR."""
    roc_auc: float
    """Share of all (positive pair, negative pair) in which the positive pair is more similar."""
    positive_pairs: int
    negative_pairs: int
    tar: np.ndarray = field(repr=False)
    """TAR ``[T]`` of every threshold at which it changes, strictest first."""
    far: np.ndarray = field(repr=False)
    """FAR ``[T]`` of the same thresholds."""


def evaluate_verification(
    embeddings: "Embeddings",
    labels: "Labels",
    gallery: "Embeddings | None" = None,
    gallery_labels: "Labels | None" = None,
    *,
    at_far: Sequence[float] = (1e-4, 1e-3, 1e-2),
    self_index: "Labels | None" = None,
    distance: str | Distance = "cosine",
    tolerance: float = 1e-6,
    memory_budget: int = 256 * 2**20,
) -> VerificationResult:
    """Return TAR at FAR, the equal error rate and the area under the ROC of all pairs.

    Pairs are counted in steps of `tolerance`, a positive pair one step lower than it stands: a
    negative pair that is as similar within the tolerance is always accepted with it, and counts as
    more similar in the area. So a constant embedding has TAR 0, area 0 and equal error rate 1; and
    every figure is that of exact similarities moved by two steps at most.

    Args:
        embeddings: queries ``[Q, D]``; without a gallery each meets all the others.
        labels: their classes ``[Q]``.
        gallery: ``[G, D]``.
        gallery_labels: their classes ``[G]``.
        at_far: the FARs at which TAR is wanted.
        self_index: each query's own row in the gallery ``[Q]``, -1 if it is not there.
        distance: how embeddings are compared: a name or a `Distance`.
        tolerance: step of similarity, 1e-7 or more.
        memory_budget: bytes to use besides the inputs and 24 bytes a step.

    Raises:
        DataError: see `read_inputs`; or there is no positive or no negative pair.
        ConfigError: a FAR or the tolerance is out of range.
    """
    if not all(0 <= far <= 1 for far in at_far):
        raise ConfigError(f"at_far must hold rates from 0 to 1, not {list(at_far)}.")
    if not 1e-7 <= tolerance <= 1:
        raise ConfigError(f"tolerance must be from 1e-7 to 1, not {tolerance}.")
    inputs = read_inputs(embeddings, labels, gallery, gallery_labels, self_index)
    steps = int((_HIGHEST - _LOWEST) / tolerance) + 2
    positives, negatives = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    for rows, block in similarity_blocks(inputs, as_distance(distance), memory_budget):
        for similarity, labels_of_row in zip(block, inputs.labels[rows], strict=True):
            step = ((similarity.astype(np.float64) - _LOWEST) / tolerance).clip(-1).astype(np.int64)
            same = inputs.gallery_labels == labels_of_row
            np.add.at(negatives, step[~same], 1)
            np.add.at(positives, (step[same & np.isfinite(similarity)] - 1).clip(0), 1)
    return _figures(positives, negatives, at_far)


def _figures(
    positives: np.ndarray, negatives: np.ndarray, at_far: Sequence[float]
) -> VerificationResult:
    """Return the figures of pairs counted by step of similarity."""
    positive_pairs, negative_pairs = int(positives.sum()), int(negatives.sum())
    if not positive_pairs or not negative_pairs:
        raise DataError(
            f"Verification needs positive and negative pairs; there are {positive_pairs} and "
            f"{negative_pairs}."
        )
    used = np.flatnonzero(positives[::-1] | negatives[::-1])
    tar = np.concatenate([[0], positives[::-1].cumsum()[used]]) / positive_pairs
    far = np.concatenate([[0], negatives[::-1].cumsum()[used]]) / negative_pairs
    below = negative_pairs - negatives[::-1].cumsum()[::-1]
    return VerificationResult(
        tar_at_far={rate: float(tar[far <= rate].max()) for rate in at_far},
        equal_error_rate=float(np.maximum(far, 1 - tar).min()),
        roc_auc=float(positives @ (below / negative_pairs) / positive_pairs),
        positive_pairs=positive_pairs,
        negative_pairs=negative_pairs,
        tar=tar,
        far=far,
    )
