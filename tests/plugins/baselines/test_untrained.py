"""The untrained baseline hands on the embeddings that it is given."""

import numpy as np

from dmlbench_baselines.untrained import Untrained


def test_untrained_asks_for_embeddings_and_returns_them_unchanged(items):
    untrained = Untrained()
    assert untrained.takes == "embeddings"
    assert np.array_equal(untrained.fit(items, np.zeros(120)).transform(items), items)
    assert untrained.get_params() == {}
