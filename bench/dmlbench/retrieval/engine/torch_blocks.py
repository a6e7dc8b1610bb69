"""Candidates from blocks of values on a device, settled on the CPU.

The engine for CUDA, and the simplest: each block of queries is multiplied with the whole gallery,
and the negatives that may precede its positives come back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor

from dmlbench.retrieval.engine.positives import positives_of
from dmlbench.retrieval.engine.query_block import Bounds, negatives_kept, settle_listed
from dmlbench.retrieval.engine.task import BYTES_PER_LISTED_NEGATIVE, Figures, Task

_MOST_ROWS = 1024
_COLUMNS = 65536
_DEVICE_MEMORY = 2**30
_BYTES_PER_VALUE = 40  # the value, masks, and the place of each, should all be listed


def rank_on_device(task: Task, device: torch.device) -> Figures:
    """Return the figures of every query of the layout.

    Args:
        task: what to measure. On a CPU its memory limits the blocks; on a GPU they take at most
            1 GiB, and the gallery's vectors come on top.
        device: where to compute the products, in float32 (TF32 is off).
    """
    figures, comparison = Figures.zeros(task), task.comparison
    memory = task.memory if device.type == "cpu" else _DEVICE_MEMORY
    rows = max(1, min(_MOST_ROWS, memory // (_BYTES_PER_VALUE * task.items)))
    put = partial(torch.as_tensor, device=device)
    scored = np.flatnonzero(task.layout.relevant > 0)
    with _full_precision(), torch.no_grad():
        parts = (
            put(comparison.gallery.part(start, min(start + _COLUMNS, task.items)))
            for start in range(0, task.items, _COLUMNS)
        )
        gallery, norms = torch.cat(list(parts)), put(comparison.gallery.half_single)
        blocks = [scored[first : first + rows] for first in range(0, len(scored), rows)]
        while blocks:
            block = blocks.pop()
            positives = positives_of(task, block)
            bounds = Bounds(task, block, positives)
            vectors = comparison.queries.part(block[0], block[-1] + 1)[block - block[0]]
            value = put(vectors) @ gallery.T
            if comparison.frame.with_norms:
                value -= norms
                value -= put(comparison.queries.half_single[block])[:, None]
            _leave_negatives(task, block, value, put)
            if not task.whole_ranking:
                kept = min(task.items, negatives_kept(task, block))
                bounds.tighten(slice(None), value.topk(kept, dim=1).values[:, -1].cpu().numpy())
            beyond = value >= put(bounds.upper)[:, None]
            found = (value >= put(bounds.lower)[:, None]) & ~beyond
            if len(block) > 1 and int(found.sum()) > task.memory // BYTES_PER_LISTED_NEGATIVE:
                blocks += np.array_split(block, 2)
                continue
            row, item = found.nonzero(as_tuple=True)
            settle_listed(
                task,
                block,
                positives,
                (row.cpu().numpy(), item.cpu().numpy(), value[row, item].cpu().numpy()),
                beyond.sum(dim=1).cpu().numpy(),
                np.isfinite(bounds.upper),
                figures,
            )
    return figures


def _leave_negatives(task: Task, block: np.ndarray, value: Tensor, put: "partial[Tensor]") -> None:
    """Set the values ``[b, G]`` of the queries' own classes to -inf."""
    layout = task.layout
    number = layout.query_class[block]
    start, size = put(layout.class_start[number])[:, None], put(layout.class_size[number])[:, None]
    member = torch.arange(int(size.max()), device=value.device)
    value.scatter_(1, start + torch.where(member < size, member, 0), -torch.inf)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Keep TF32 and similar shortcuts out of float32 products."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
