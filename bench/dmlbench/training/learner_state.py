"""What a network and a baseline both show after an epoch."""

from collections.abc import Callable
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
    """Valid until the next state is asked for."""
    details: dict[str, Any] = field(default_factory=dict)
    snapshot: Callable[[], Embed] | None = None
    """Returns what embeds as `embed` does now once the learner is done; None if `embed` does."""
