"""Each retrieval engine on demand, at sizes where plain loops are quick."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from dmlbench.retrieval import Distance, Maps
from dmlbench.retrieval.engine import (
    choice,
    comparison,
    query_block,
    similarity_rows,
    sorted_rows,
)

ENGINES = ["tiles", "rows", "sorted", "torch"]


class InnerProduct(Distance):
    """Similarity x.y: exact in float32 for small dyadic vectors, so that oracles see the same."""

    name = "inner-product"

    def __init__(self, symmetric: bool = True) -> None:
        self.symmetric = symmetric

    def fit(self, queries, gallery):
        def same(rows):
            return rows.astype(np.float64)

        return Maps(same, same, symmetric=self.symmetric)


@contextmanager
def forced_engine(
    name: str, *, edge: int = 2040, listed: int = 40, columns: int = 16384
) -> Iterator[None]:
    """Use one engine whatever the data; `edge`, `listed` and `columns` make its parts tiny."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "LARGEST_WIDTH", edge)
        patch.setattr(choice, "_deepest_for_tiles", lambda _: np.inf if name == "tiles" else -1)
        patch.setattr(choice, "_DEEPEST_IN_FLOAT32", -1 if name == "sorted" else np.inf)
        patch.setattr(choice, "_BYTES_PER_LISTED_NEGATIVE", 0)
        patch.setattr(similarity_rows, "_COLUMNS", columns)
        patch.setattr(query_block, "_COLUMNS_PER_PRODUCT", min(columns, 7))
        patch.setattr(similarity_rows, "_MOST_ROWS", columns)
        patch.setattr(comparison, "_COLUMNS", min(columns, 7))
        patch.setattr(sorted_rows, "_MOST_ROWS", columns)
        patch.setattr(sorted_rows, "_BYTES_TO_SETTLE", listed)
        patch.setattr("dmlbench.retrieval.engine.candidates.BYTES_PER_LISTED_NEGATIVE", listed)
        if name == "torch":
            from dmlbench.retrieval.engine.torch_blocks import rank_on_device

            patch.setattr(
                "dmlbench.retrieval.evaluation.rank",
                lambda task, _: rank_on_device(task, torch.device("cpu")),
            )
        yield
