"""Verification: are two items of the same class? Rates over all (query, gallery item) pairs."""

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

# Similarities of every distance stay between these two: see `distances`.
_LOWEST, _HIGHEST = -2.001, 1.001


@dataclass(frozen=True)
class VerificationResult:
    """Rates at which pairs are accepted when their similarity reaches a threshold.

    TAR (true accept rate) is the share of positive pairs accepted, FAR (false accept rate) the
    share of negative pairs accepted.
    """

    tar_at_far: dict[float, float]
    """FAR -> the highest TAR of any threshold whose FAR is no higher."""
    equal_error_rate: float
    """The lowest, over thresholds, of the larger of FAR and 1 - TAR."""
    roc_auc: float
    """Share of (positive pair, negative pair) combinations with the positive pair more similar."""
    positive_pairs: int
    negative_pairs: int
    tar: np.ndarray = field(repr=False)
    """TAR ``[T]`` at every threshold where a rate changes, strictest first."""
    far: np.ndarray = field(repr=False)
    """FAR ``[T]`` at the same thresholds."""


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
    """Return TAR at FAR, the equal error rate and the area under the ROC curve over all pairs.

    Similarities are rounded down to steps of `tolerance`, and those of positive pairs lowered by
    one more step: a negative pair that is as similar within the tolerance is always accepted with a
    positive one, and counts as more similar in the area. So a constant embedding has TAR 0, area 0
    and equal error rate 1; and every result is that of exact similarities moved by two steps at
    most.

    Args:
        embeddings: queries ``[Q, D]``; without a gallery, each is paired with all the others.
        labels: their classes ``[Q]``.
        gallery: the items to pair them with ``[G, D]``.
        gallery_labels: their classes ``[G]``.
        at_far: the FARs at which to return TAR.
        self_index: each query's own row in the gallery ``[Q]``, -1 if it is not there.
        distance: how to compare embeddings: a name or a `Distance`.
        tolerance: step of similarity, 1e-7 or more.
        memory_budget: bytes to use on top of the inputs and 24 bytes per step.

    Raises:
        DataError: see `read_inputs`; or there is no positive or no negative pair.
        ConfigError: a FAR or the tolerance is out of range.

    Example:
        >>> import numpy as np
        >>> from dmlbench.retrieval import evaluate_verification
        >>> embeddings = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])  # [Q, D]
        >>> result = evaluate_verification(embeddings, np.array([0, 0, 1, 1]), at_far=(0.0,))
        >>> result.tar_at_far, result.equal_error_rate, result.roc_auc
        ({0.0: 1.0}, 0.0, 1.0)
    """
    if not all(0 <= far <= 1 for far in at_far):
        raise ConfigError(f"at_far must hold rates from 0 to 1, not {list(at_far)}.")
    if not 1e-7 <= tolerance <= 1:
        raise ConfigError(f"tolerance must be from 1e-7 to 1, not {tolerance}.")
    inputs = read_inputs(embeddings, labels, gallery, gallery_labels, self_index)
    steps = int((_HIGHEST - _LOWEST) / tolerance) + 2
    positives, negatives = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    for rows, block in similarity_blocks(inputs, as_distance(distance), memory_budget):
        for similarity, label in zip(block, inputs.labels[rows], strict=True):
            step = ((similarity.astype(np.float64) - _LOWEST) / tolerance).clip(-1).astype(np.int64)
            same = inputs.gallery_labels == label
            np.add.at(negatives, step[~same], 1)
            np.add.at(positives, (step[same & np.isfinite(similarity)] - 1).clip(0), 1)
    return _rates(positives, negatives, at_far)


def _rates(
    positives: np.ndarray, negatives: np.ndarray, at_far: Sequence[float]
) -> VerificationResult:
    """Return the rates of pairs counted by step of similarity, lowest first."""
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
