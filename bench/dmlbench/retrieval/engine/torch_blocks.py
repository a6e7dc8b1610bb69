"""Ranks from blocks of similarities on a device, in float32 or float64.

The engine for CUDA, and the simplest: each block of queries is multiplied with the whole gallery,
its positives are gathered, and its best negatives come from `topk`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor

from dmlbench.retrieval.engine.task import Figures, Task

_MOST_ROWS = 1024
_COLUMNS = 65536
_DEVICE_MEMORY = 2**30


def rank_on_device(task: Task, device: torch.device, dtype: torch.dtype) -> Figures:
    """Return the figures of every query of the layout.

    Args:
        task: what to measure. On a CPU its memory limits the blocks; on a GPU they take at most
            1 GiB, and the gallery's vectors come on top.
        device: where to compute the products.
        dtype: of the products: float32 (TF32 is off) or float64.
    """
    figures, layout = Figures.zeros(task), task.layout
    items = len(task.gallery)
    memory = task.memory if device.type == "cpu" else _DEVICE_MEMORY
    rows = max(1, min(_MOST_ROWS, memory // (6 * dtype.itemsize * items)))
    put = partial(torch.as_tensor, device=device)
    scored = np.flatnonzero(layout.relevant > 0)
    with _full_precision(), torch.no_grad():
        parts = (
            put(task.gallery.part(start, min(start + _COLUMNS, items)), dtype=dtype)
            for start in range(0, items, _COLUMNS)
        )
        gallery = torch.cat(list(parts))
        for first in range(0, len(scored), rows):
            block = scored[first : first + rows]
            vectors = task.queries.part(block[0], block[-1] + 1)[block - block[0]]
            number = layout.query_class[block]
            _write_block(
                task,
                figures,
                block,
                similarity=put(vectors, dtype=dtype) @ gallery.T,
                start=put(layout.class_start[number])[:, None],
                size=put(layout.class_size[number])[:, None],
                own=put(layout.own_position[block])[:, None],
                relevant=put(layout.relevant[block])[:, None],
            )
    return figures


def _write_block(
    task: Task,
    figures: Figures,
    block: np.ndarray,
    similarity: Tensor,
    start: Tensor,
    size: Tensor,
    own: Tensor,
    relevant: Tensor,
) -> None:
    """Measure the queries `block`; overwrites `similarity`; the other tensors are ``[b, 1]``."""
    items = similarity.shape[1]
    member = torch.arange(int(size.max()), device=size.device)
    column = start + torch.where(member < size, member, 0)
    positive = similarity.gather(1, column)
    positive[(member >= size) | (column == own)] = -torch.inf
    positive = positive.sort(dim=1, descending=True).values
    similarity.scatter_(1, column, -torch.inf)

    depth = items if task.whole_ranking else min(items, int(task.depth[block].max()))
    nearest = similarity.topk(depth, dim=1).values.flip(1).contiguous()
    place = torch.arange(1, len(member) + 1, device=size.device)
    least = _at_least(positive, task.tolerance)
    rank = place + depth - torch.searchsorted(nearest, least)
    precision = torch.where(place <= relevant, place / rank.double(), 0.0)
    hit = (place <= relevant) & (rank <= relevant)
    ahead = (similarity >= least[:, :1]).sum(dim=1)
    beyond = (similarity > _at_most(positive[:, :1], task.tolerance)).sum(dim=1)

    figures.best_rank[block] = (ahead + 1).cpu().numpy()
    figures.ties[block] = (ahead - beyond).cpu().numpy()
    figures.hits[block] = hit.sum(dim=1).cpu().numpy()
    term = (precision * hit).sum(dim=1) / relevant[:, 0]
    figures.average_precision[block] = term.cpu().numpy()
    for k, hits in figures.hits_at.items():
        hits[block] = ((place <= relevant) & (rank <= k)).sum(dim=1).cpu().numpy()
    if figures.whole_average_precision is not None:
        whole = precision.sum(dim=1) / relevant[:, 0]
        figures.whole_average_precision[block] = whole.cpu().numpy()
    if figures.positive_ranks is not None:
        first = torch.from_numpy(task.first_rank[block]).to(size.device)
        known = place <= relevant
        where = (first[:, None] + place - 1)[known].cpu().numpy()
        figures.positive_ranks[where] = rank[known].cpu().numpy()


def _at_least(similarity: Tensor, tolerance: float) -> Tensor:
    """As `thresholds.at_least`."""
    exact = similarity.double() - tolerance
    rounded = exact.to(similarity.dtype)
    up = rounded.nextafter(torch.full_like(rounded, torch.inf))
    return torch.where(rounded < exact, up, rounded)


def _at_most(similarity: Tensor, tolerance: float) -> Tensor:
    """Return the largest number of the same type that is `similarity` + `tolerance` or less."""
    return -_at_least(-similarity, tolerance)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Keep TF32 and similar shortcuts out of float32 products."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
