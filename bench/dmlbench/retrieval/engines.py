"""Which of the ways to rank is taken.

- A GPU, or float64: `torch_blocks`, everything on the device.
- `tiles` for small classes: the work besides the products grows with R times the gallery, and the
  products are halved where the queries are the gallery.
- `rows` for large classes: that work hardly depends on R. The two cross where the mean R is about
  80 (measured at 6,000 to 20,000 items of 128 and 512 dimensions). The rank of every positive, for
  the average precision of the whole ranking, needs whole rows too.
"""

from typing import TYPE_CHECKING

from dmlbench.retrieval.rows import rank_by_rows
from dmlbench.retrieval.sweep import LARGEST_WIDTH
from dmlbench.retrieval.task import Figures, Task
from dmlbench.retrieval.tiles import rank_by_tiles

if TYPE_CHECKING:
    import torch

_DEEPEST_FOR_TILES = 80
_BYTES_A_TILE_ENTRY = 5
_BYTES_A_LISTED_NEGATIVE = 64


def rank(task: Task, device: "str | torch.device", precision: str) -> Figures:
    """Return the figures of every query of the layout, in the way that suits task and device."""
    if str(device) != "cpu" or precision == "float64":
        import torch

        from dmlbench.retrieval.torch_blocks import rank_on_device

        return rank_on_device(task, torch.device(device), getattr(torch, precision))
    edge = min(
        LARGEST_WIDTH,
        int((task.memory / (4 * _BYTES_A_TILE_ENTRY)) ** 0.5),
        task.queries.rows_in(task.memory // 8),
        task.gallery.rows_in(task.memory // 8),
    )
    depth = task.depth
    if (
        task.whole_ranking
        or depth.mean() > _DEEPEST_FOR_TILES
        or task.layout.class_size.max() > edge
        or depth.sum() * _BYTES_A_LISTED_NEGATIVE > task.memory
    ):
        return rank_by_rows(task)
    return rank_by_tiles(task, edge)
