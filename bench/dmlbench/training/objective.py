"""What a network is trained to minimise: a loss with its miner, or a weighted sum of these."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlbench.contracts.components import Loss, Miner
from dmlbench.contracts.pairs import PairMask, Pairs, Selection, Triplets
from dmlbench.errors import ConfigError, PluginError, TrialError


@dataclass(frozen=True)
class Summand:
    """A loss, its weight in the sum, and the miner that selects for it."""

    loss: Loss
    weight: float = 1.0
    miner: Miner | None = None


class Objective(nn.Module):
    """A weighted sum of losses, each given the embeddings and the selection that it asks for."""

    def __init__(self, summands: Sequence[Summand]) -> None:
        super().__init__()
        self.summands = tuple(summands)
        self.losses = nn.ModuleList(summand.loss for summand in summands)

    @property
    def views(self) -> int:
        """Return how many augmented copies of each image a batch holds: the most any loss wants."""
        return max(summand.loss.views for summand in self.summands)

    @property
    def starts_epochs(self) -> bool:
        """Return whether a loss wants to see all training items before an epoch."""
        return any(summand.loss.starts_epochs for summand in self.summands)

    def start_epoch(self, embeddings: Tensor, labels: Tensor) -> None:
        """Show all training items to the losses that want to see them.

        Args:
            embeddings: ``[N, D]``, not normalised.
            labels: class ids ``[N]``.
        """
        for summand in self.summands:
            if summand.loss.starts_epochs:
                seen = F.normalize(embeddings) if summand.loss.normalize else embeddings
                summand.loss.start_epoch(seen, labels)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the objective of one batch, a scalar with a gradient.

        For each loss: the pairs, then its miner, then the loss. Losses that agree on whether
        embeddings are normalised share the similarity matrix.

        Args:
            embeddings: ``[B, D]`` float32, not normalised.
            labels: class ids ``[B]``.

        Raises:
            PluginError: a miner returned something other than a selection of these pairs.
            TrialError: a loss returned something other than one number with a gradient.
        """
        plain: dict[bool, Pairs] = {}
        total: Tensor | None = None
        for summand in self.summands:
            loss = summand.loss
            if loss.normalize not in plain:
                given = F.normalize(embeddings) if loss.normalize else embeddings
                plain[loss.normalize] = Pairs(given, labels, normalized=loss.normalize)
            pairs = loss.extend(plain[loss.normalize])
            selection = None
            if summand.miner is not None:
                with torch.no_grad():
                    selection = _checked(summand.miner.select(pairs), pairs, summand.miner)
            value = loss(pairs, selection)
            if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
                raise TrialError(
                    f"{type(loss).__name__} returned no scalar with a gradient: {value!r}."
                )
            weighted = value if summand.weight == 1 else summand.weight * value
            total = weighted if total is None else total + weighted
        assert total is not None  # there is at least one summand
        return total


def _checked(selection: object, pairs: Pairs, miner: Miner) -> Selection:
    """Return `selection` if its types and shapes are right.

    Values are not checked: that would wait for the GPU at each step.
    """
    if isinstance(selection, PairMask):
        dtype, shape = torch.bool, torch.Size((len(pairs), len(pairs.references)))
    elif isinstance(selection, Triplets) and isinstance(selection.anchor, Tensor):
        dtype, shape = torch.int64, selection.anchor.flatten().shape
    else:
        found = type(selection).__name__
        raise PluginError(f"{type(miner).__name__} returned {found}, not PairMask or Triplets.")
    for name, tensor in vars(selection).items():
        if not isinstance(tensor, Tensor) or tensor.dtype != dtype or tensor.shape != shape:
            found = type(tensor).__name__
            if isinstance(tensor, Tensor):
                found = f"{tensor.dtype} {[*tensor.shape]}"
            raise PluginError(
                f"{type(miner).__name__} returned a {type(selection).__name__} whose {name} is "
                f"{found}; it must be {dtype} {[*shape]}."
            )
    return selection


def combine(losses: Sequence[Loss], weights: Sequence[float], miners: Sequence[Miner]) -> Objective:
    """Return the weighted sum of `losses`, with a miner for each that takes a selection.

    Args:
        losses: the terms.
        weights: of the terms.
        miners: one for each term that takes a selection, in their order, or one for all of them.

    Raises:
        ConfigError: there are more or fewer miners than that.
    """
    mined = sum(loss.takes != "labels" for loss in losses)
    if len(miners) == 1:
        miners = [*miners] * mined
    if len(miners) != mined:
        raise ConfigError(
            f"There are {len(miners)} miners for {mined} losses that take one. Name one for all, "
            "or one for each, such as semi-hard+all-pairs."
        )
    left = iter(miners)
    return Objective(
        [
            Summand(loss, weight, None if loss.takes == "labels" else next(left))
            for loss, weight in zip(losses, weights, strict=True)
        ]
    )
