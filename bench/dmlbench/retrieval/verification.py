"""Verification: are two items of the same class? Rates over all (query, gallery item) pairs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dmlbench.errors import ConfigError, DataError
from dmlbench.retrieval.distances import Distance, as_distance
from dmlbench.retrieval.engine.nearest import in_given_order
from dmlbench.retrieval.engine.pair_values import precise_blocks
from dmlbench.retrieval.inputs import read_inputs

if TYPE_CHECKING:
    from dmlbench.retrieval.inputs import Embeddings, Labels

_STEP_BITS = 18
_BITS_BELOW = 52 - _STEP_BITS
_SIGN = np.uint64(1) << np.uint64(63)


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
    error: float
    """The most by which the area is too low: the share of combinations within a step or two."""
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
    memory_budget: int = 256 * 2**20,
) -> VerificationResult:
    """Return TAR at FAR, the equal error rate and the area under the ROC curve over all pairs.

    Pairs are counted by steps of squared distance (for cosines, that of unit vectors), 2^18 to each
    doubling, so that steps suit the data whatever their scale. A negative pair that is as similar
    to within a step is always accepted with a positive one, and counts as more similar in the area:
    a constant embedding has TAR 0, area 0 and equal error rate 1. `VerificationResult.error` says
    by how much that can lower the area.

    Args:
        embeddings: queries ``[Q, D]``; without a gallery, each is paired with all the others.
        labels: their classes ``[Q]``.
        gallery: the items to pair them with ``[G, D]``.
        gallery_labels: their classes ``[G]``.
        at_far: the FARs at which to return TAR.
        self_index: each query's own row in the gallery ``[Q]``, -1 if it is not there.
        distance: how to compare embeddings: a name or a `Distance`.
        memory_budget: bytes to use on top of the inputs and of 4 MiB for each doubling.

    Raises:
        DataError: see `read_inputs`; or there is no positive or no negative pair.
        ConfigError: a FAR is out of range.

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
    inputs = read_inputs(embeddings, labels, gallery, gallery_labels, self_index)
    comparison = in_given_order(inputs, as_distance(distance), 0.0, memory_budget // 2)
    positives, negatives = _Steps(), _Steps()
    for rows, value in precise_blocks(inputs, comparison, memory_budget // 2):
        step = _step_of(value)
        same = inputs.gallery_labels == inputs.labels[rows, None]
        negatives.count(step[~same])
        positives.count(step[same & np.isfinite(value)] - 1)
    return _rates(positives, negatives, at_far)


def _step_of(value: np.ndarray) -> np.ndarray:
    """Return the step of each value (int64), in the order of the values."""
    bits = (value + 0.0).view(np.uint64)  # -0 becomes 0
    ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    steps: np.ndarray = (ordered >> np.uint64(_BITS_BELOW)).astype(np.int64)
    return steps


class _Steps:
    """Pairs counted by step, in arrays of one doubling each."""

    def __init__(self) -> None:
        self._counts: dict[int, np.ndarray] = {}

    def count(self, steps: np.ndarray) -> None:
        """Count steps ``[n]``."""
        doubling = steps >> _STEP_BITS
        low, high = int(doubling.min(initial=2**62)), int(doubling.max(initial=0))
        for number in range(low, high + 1):
            within = steps[doubling == number] - (number << _STEP_BITS)
            if len(within):
                counts = self._counts.setdefault(number, np.zeros(1 << _STEP_BITS, np.int64))
                counts += np.bincount(within, minlength=1 << _STEP_BITS)

    def used(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the steps with pairs, ascending, and how many each has."""
        steps, counts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for number in sorted(self._counts):
            within = np.flatnonzero(self._counts[number])
            steps.append(within + (number << _STEP_BITS))
            counts.append(self._counts[number][within])
        return np.concatenate(steps), np.concatenate(counts)


def _rates(positives: _Steps, negatives: _Steps, at_far: Sequence[float]) -> VerificationResult:
    """Return the rates of pairs counted by step."""
    (positive_step, positive), (negative_step, negative) = positives.used(), negatives.used()
    positive_pairs, negative_pairs = int(positive.sum()), int(negative.sum())
    if not positive_pairs or not negative_pairs:
        raise DataError(
            f"Verification needs positive and negative pairs; there are {positive_pairs} and "
            f"{negative_pairs}."
        )
    threshold = np.unique(np.concatenate([positive_step, negative_step]))[::-1]

    def accepted(step: np.ndarray, count: np.ndarray) -> np.ndarray:
        """Return how many pairs reach each threshold."""
        above = np.append(count[::-1].cumsum()[::-1], 0)
        reached: np.ndarray = above[np.searchsorted(step, threshold)]
        return reached

    tar = np.append(0, accepted(positive_step, positive)) / positive_pairs
    far = np.append(0, accepted(negative_step, negative)) / negative_pairs
    up_to = np.append(0, negative.cumsum())
    below = up_to[np.searchsorted(negative_step, positive_step)]
    # Positives were lowered by a step: negatives up to two above may in truth be less similar.
    open_ = up_to[np.searchsorted(negative_step, positive_step + 2)] - below
    return VerificationResult(
        tar_at_far={rate: float(tar[far <= rate].max()) for rate in at_far},
        equal_error_rate=float(np.maximum(far, 1 - tar).min()),
        roc_auc=float(positive @ (below / negative_pairs) / positive_pairs),
        error=float(positive @ (open_ / negative_pairs) / positive_pairs),
        positive_pairs=positive_pairs,
        negative_pairs=negative_pairs,
        tar=tar,
        far=far,
    )
