"""How often a row is above another, seed by seed."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlbench.leaderboard.ranking import by_seed, most_common_seeds
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table


@dataclass(frozen=True)
class WinRates:
    """Rows that share seeds, in the order of the table."""

    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    values: NDArray[Any]
    """The metric that rows are ordered by, ``[K, n]``."""

    @cached_property
    def shares(self) -> NDArray[Any]:
        """Return the share of seeds at which row i is above row j, ``[K, K]``.

        Equal values are a win of neither.
        """
        shares: NDArray[Any] = (self.values[:, None] > self.values[None]).mean(axis=2)
        return shares


def win_rates(table: Table) -> WinRates | None:
    """Return the win rates of a table's finished rows; None if fewer than two share two seeds.

    They are counted on the seeds that most rows have; rows that lack one of them are left out.
    """
    metric = table.headline
    rows = [row for row in table.rows if row.finished]
    if metric is None:
        return None
    values = {row.id: by_seed(row, metric) for row in rows}
    seeds = most_common_seeds([values[row.id] for row in rows])
    kept = [row for row in rows if set(seeds) <= values[row.id].keys()]
    if len(kept) < 2 or len(seeds) < 2:
        return None
    array = np.array([[values[row.id][seed] for seed in seeds] for row in kept])
    return WinRates(tuple(kept), seeds, array)
