"""Items that baselines of all kinds are fitted on."""

import numpy as np
import pytest


@pytest.fixture
def items() -> np.ndarray:
    """Correlated features of very different scale, float32 as the harness passes them."""
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(120, 7)) @ rng.normal(size=(7, 7)) + rng.normal(size=7)
    return (mixed * [1, 1, 5, 0.1, 1, 1, 3]).astype(np.float32)


@pytest.fixture
def others() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(15, 7)).astype(np.float32)
