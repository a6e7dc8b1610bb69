"""Which engine ranks.

- A GPU: `torch_blocks`, the products and the choice of candidates on the device.
- `tiles` for small classes: the work besides the products grows with R times the gallery.
- `similarity_rows` for larger ones: that work depends less on R. The rank of every positive, for
  the average precision of the whole ranking, also needs whole rows.
- `sorted_rows` for the largest: with ever more positives, ever more pairs are too close for
  float32, so that products in float64 are faster.

Where the queries are the gallery, tiles halve the products, and pay up to a larger mean R. Rows in
float32 are faster than sorted ones up to a mean R of about 250 at 128 dimensions and of 400 at 512
(measured with 6,000 to 10,000 items).
"""

from typing import TYPE_CHECKING

from dmlbench.retrieval.engine.settle import rank_all_alike
from dmlbench.retrieval.engine.similarity_rows import rank_by_rows
from dmlbench.retrieval.engine.sorted_rows import rank_by_sorting
from dmlbench.retrieval.engine.sweep import LARGEST_WIDTH
from dmlbench.retrieval.engine.task import CandidatesOverflowError, Figures, Task
from dmlbench.retrieval.engine.tiles import rank_by_tiles

if TYPE_CHECKING:
    import torch

_DEEPEST_FOR_TILES = 20
_DEEPEST_IF_TILES_HALVE = 80
_DEEPEST_IN_FLOAT32 = 300
_BYTES_PER_TILE_ENTRY = 5
_BYTES_PER_LISTED_NEGATIVE = 64


def rank(task: Task, device: "str | torch.device") -> Figures:
    """Return the figures of every query of the layout, by the engine that suits task and device."""
    if task.comparison.all_alike:
        return rank_all_alike(task)
    if str(device) != "cpu":
        import torch

        from dmlbench.retrieval.engine.torch_blocks import rank_on_device

        return rank_on_device(task, torch.device(device))
    edge = min(
        LARGEST_WIDTH,
        int((task.memory / (4 * _BYTES_PER_TILE_ENTRY)) ** 0.5),
        task.comparison.queries.rows_in(task.memory // 8),
        task.comparison.gallery.rows_in(task.memory // 8),
    )
    depth = task.depth
    if depth.mean() > _DEEPEST_IN_FLOAT32:
        return rank_by_sorting(task)
    if (
        task.whole_ranking
        or depth.mean() > _deepest_for_tiles(task)
        or task.layout.class_size.max() > edge
        or depth.sum() * _BYTES_PER_LISTED_NEGATIVE > task.memory
    ):
        return rank_by_rows(task)
    try:
        return rank_by_tiles(task, edge)
    except CandidatesOverflowError:
        return rank_by_rows(task)


def _deepest_for_tiles(task: Task) -> float:
    """Return the largest mean depth at which tiles are faster."""
    return _DEEPEST_IF_TILES_HALVE if task.comparison.symmetric else _DEEPEST_FOR_TILES
