"""The state of a learner, a network or a baseline, after an epoch."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dmlbench.data.items import Items

Embed = Callable[[Items], np.ndarray]
"""From items to embeddings ``[N, E]`` float32; of length 1 if a network made them."""


@dataclass(frozen=True)
class State:
    """A learner after an epoch."""

    epoch: int
    loss: float | None
    embed: Embed
    """Valid until the next state is requested."""
    details: dict[str, Any] = field(default_factory=dict)
    snapshot: Callable[[], Embed] | None = None
    """Returns what embeds after training as `embed` does now; None if `embed` itself does."""
    restore: Callable[[Mapping[str, Any]], Embed] | None = None
    """Returns what embeds as a network of these weights does; None if there is no network."""


Learn = Callable[[Items], Iterator[State]]
"""Learns from items: yields the state before, and after each epoch."""
