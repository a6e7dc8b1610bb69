r"""XBM: cross-batch memory, which also compares anchors with embeddings of earlier batches.

.. math:: L = \ell\big(X_t,\; X_t \cup \{X_{t-1}, X_{t-2}, \dots\}\big)

for any loss :math:`\ell` of anchors and references. The memory is a queue of fixed size; its
content has no gradient. It works because embeddings drift slowly once training is under way.

Paper: X. Wang, H. Zhang, W. Huang, M. R. Scott, Cross-Batch Memory for Embedding Learning, CVPR
2020, arXiv 1912.06798. In the authors' configuration for SOP the memory holds 55,000 of the 59,551
training items, and is filled and used from step 1,001 of 35,000 on; the loss is contrastive. Their
code puts the batch into the memory *first* and adds two losses, of the batch with itself and with
the memory, so pairs within the batch count twice, once with half their gradient; an item is kept
from meeting itself by its similarity of 1, which leaves out duplicates too.

In the wild: pytorch-metric-learning compares the batch with the memory alone, the batch in it
included: the references never have a gradient.

Our choice: one loss, over the batch with its gradient and the memory without, each pair once, every
item kept from itself by its index. A memory of 1,024 from step 101 on, since the short runs here
would end within the authors' warm-up; for a large dataset, theirs is nearly its size.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import ConfigError, IntUniform, Loss, Pairs, Selection
from dmlbench_losses.read_once import ReadOnce

_INNER = (
    "takes",
    "default_miner",
    "reducer",
    "own_lr_multiple",
    "own_weight_decay",
    "normalize",
    "views",
    "starts_epochs",
)


class XBM(Loss):
    """Cross-batch memory around another loss: also compares anchors with remembered embeddings.

    What it takes, and all else that the harness asks for, is up to the loss inside.

    Args:
        loss: the loss inside, one that takes pairs or triplets.
        embedding_dim: dimension of the embeddings.
        size: how many embeddings are remembered.
        warmup_steps: training steps before the first one that is remembered.

    Raises:
        ConfigError: the loss inside takes labels alone.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Wang, Zhang, Huang, Scott. Cross-Batch Memory for Embedding Learning. CVPR 2020. "
        "arXiv 1912.06798"
    )
    differences = (
        "One loss over batch and memory; the authors add the loss within the batch to one against "
        "a memory that holds the batch too. A smaller memory and a shorter warm-up."
    )
    trained_as = "xbm/contrastive"

    embeddings: Tensor
    labels: Tensor
    steps: Tensor
    seen: Tensor

    def __init__(
        self,
        loss: Loss,
        *,
        embedding_dim: int,
        size: Annotated[int, IntUniform(16, 65536)] = 1024,
        warmup_steps: Annotated[int, IntUniform(0, 10000)] = 100,
    ) -> None:
        super().__init__()
        if loss.takes == "labels":
            raise ConfigError(
                f"xbm remembers embeddings to compare with, and {type(loss).__name__} takes labels "
                "alone. Put it around a loss that takes pairs or triplets, such as contrastive."
            )
        self.loss = loss
        for name in _INNER:
            setattr(self, name, getattr(loss, name))
        self.size = size
        self.warmup_steps = warmup_steps
        self.register_buffer("embeddings", torch.zeros(size, embedding_dim))
        self.register_buffer("labels", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self._steps, self._seen = ReadOnce(), ReadOnce()

    def start_epoch(self, embeddings: Tensor, labels: Tensor) -> None:
        """Pass all training items ``[N, D]`` and their labels ``[N]`` on to the loss inside."""
        self.loss.start_epoch(embeddings, labels)

    def extend(self, pairs: Pairs) -> Pairs:
        """Return `pairs` with the memory after its references ``[M + memory, D]``.

        In training the batch is remembered afterwards, so it does not meet itself twice; call
        it once a step.
        """
        pairs = self.loss.extend(pairs)
        filled = min(int(self._seen(self.seen)), self.size)
        extended = self._with_memory(pairs, filled) if filled else pairs
        if self.training:
            if self._steps(self.steps) >= self.warmup_steps:
                self._remember(pairs.anchors.detach(), pairs.labels)
            self._steps.add(self.steps, 1)
        return extended

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the loss inside, a scalar."""
        value: Tensor = self.loss(pairs, selection)
        return value

    def _with_memory(self, pairs: Pairs, filled: int) -> Pairs:
        return Pairs(
            pairs.anchors,
            pairs.labels,
            torch.cat([pairs.references, self.embeddings[:filled].to(pairs.references)]),
            torch.cat([pairs.reference_labels, self.labels[:filled]]),
            pairs.self_index,
            normalized=pairs.normalized,
        )

    def _remember(self, embeddings: Tensor, labels: Tensor) -> None:
        kept = min(len(labels), self.size)
        end = int(self._seen(self.seen)) + len(labels)
        place = torch.arange(end - kept, end, device=labels.device) % self.size
        self.embeddings[place] = embeddings[-kept:].to(self.embeddings)
        self.labels[place] = labels[-kept:]
        self._seen.add(self.seen, len(labels))
