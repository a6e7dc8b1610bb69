"""One training step's pairs: computed once, shared by the miner and the loss.

Shapes: B anchors and M references of dimension D. In plain training the references are the batch
itself (M = B); with a memory bank, or with embeddings gathered from several devices, M > B.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from dmlbench.errors import PluginError

# Keeps the gradient of a square root finite at distance 0; far below float32 noise of unit vectors.
_SMALLEST_SQUARED_DISTANCE = 1e-12


class Pairs:
    """All pairs of anchors ``[B, D]`` with references ``[M, D]``.

    Similarities and distances are computed once, always with gradient: a miner, which runs without
    gradient, may be the first to ask for them.

    Args:
        anchors: embeddings ``[B, D]``, with gradient.
        labels: class ids ``[B]`` (int64).
        references: what the anchors are compared with, ``[M, D]``; the anchors themselves if None.
        reference_labels: class ids ``[M]``; needed with `references`.
        self_index: the index of each anchor among the references ``[B]``, -1 if it is not one of
            them. With `references` None: 0 to B-1.
        normalized: the embeddings have length 1 (distances then need no norms).
    """

    def __init__(
        self,
        anchors: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        self_index: Tensor | None = None,
        *,
        normalized: bool = True,
    ) -> None:
        self._among_themselves = references is None
        if references is None:
            references, reference_labels = anchors, labels
            self_index = torch.arange(len(anchors), device=anchors.device)
        if reference_labels is None or self_index is None:
            raise PluginError("Pairs with references need reference_labels and self_index too.")
        self.anchors = anchors
        self.labels = labels
        self.references = references
        self.reference_labels = reference_labels
        self.self_index = self_index
        self.normalized = normalized

    def __len__(self) -> int:
        return len(self.anchors)

    @cached_property
    @torch.enable_grad()
    def similarity(self) -> Tensor:
        """Inner products ``[B, M]``: cosine similarities if `normalized`."""
        return self.anchors @ self.references.T

    @cached_property
    @torch.enable_grad()
    def squared_distance(self) -> Tensor:
        """Squared Euclidean distances ``[B, M]``, never negative."""
        if self.normalized:
            return torch.rsub(self.similarity, 2, alpha=2).clamp_min(0)
        anchor_norms = self.anchors.square().sum(1, keepdim=True)
        reference_norms = self.references.square().sum(1)
        return (anchor_norms + reference_norms - 2 * self.similarity).clamp_min(0)

    @cached_property
    @torch.enable_grad()
    def distance(self) -> Tensor:
        """Euclidean distances ``[B, M]``; the gradient at distance 0 is 0, not NaN."""
        smallest = _SMALLEST_SQUARED_DISTANCE
        return F.threshold(self.squared_distance, smallest, smallest).sqrt()

    @cached_property
    def positive(self) -> Tensor:
        """Boolean ``[B, M]``: the same class, but not the anchor itself."""
        same = ~self.negative
        if self._among_themselves:
            return same.fill_diagonal_(False)
        if not len(self.references):
            return same
        # Every anchor gets an index, 0 if it has none: selecting some would make a GPU synchronise.
        kept = same[:, 0] & (self.self_index < 0)
        same.scatter_(1, self.self_index.clamp_min(0)[:, None], False)
        same[:, 0] |= kept
        return same

    @cached_property
    def negative(self) -> Tensor:
        """Boolean ``[B, M]``: another class."""
        return self.labels[:, None] != self.reference_labels


@dataclass(frozen=True)
class PairMask:
    """Chosen pairs: boolean masks ``[B, M]``. As triplets: every positive with every negative."""

    positive: Tensor
    negative: Tensor


@dataclass(frozen=True)
class Triplets:
    """Chosen triplets: index vectors ``[T]`` into the anchors, references and references."""

    anchor: Tensor
    positive: Tensor
    negative: Tensor


Selection = PairMask | Triplets


def as_pair_mask(selection: Selection, pairs: Pairs) -> PairMask:
    """Return the pairs that occur in `selection`, each once."""
    if isinstance(selection, PairMask):
        return selection
    positive = torch.zeros_like(pairs.positive)
    negative = torch.zeros_like(pairs.negative)
    positive[selection.anchor, selection.positive] = True
    negative[selection.anchor, selection.negative] = True
    return PairMask(positive, negative)


def as_triplets(selection: Selection) -> Triplets:
    """Return the triplets of `selection` as index vectors: of a pair mask, all combinations."""
    if isinstance(selection, Triplets):
        return selection
    anchor, positive = selection.positive.nonzero(as_tuple=True)
    pair, negative = selection.negative[anchor].nonzero(as_tuple=True)
    return Triplets(anchor[pair], positive[pair], negative)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of `values` where `mask` is true; 0, still differentiable, where none is."""
    return values.masked_fill(~mask, 0).sum() / mask.sum().clamp_min(1)


def active_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the values above 0 where `mask` is true ("mean over non-zero")."""
    return masked_mean(values, mask & ~(values.detach() <= 0))  # keeps NaN, so that it is noticed
