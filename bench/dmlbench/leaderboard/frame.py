"""A table as a data frame: its CSV file, read back."""

from io import StringIO

import pandas as pd

from dmlbench.leaderboard.formats.csv import to_csv
from dmlbench.leaderboard.tables import Table

_TEXTS = (
    *("seeds_finished", "seeds_failed", "seeds_collapsed", "selected_epochs"),
    *("fingerprint", "row_id", "trial_ids"),
)
"""Columns that would be taken for numbers where a row has one seed, or an id has no letter."""


def to_frame(table: Table) -> pd.DataFrame:
    """Return what ``read_csv`` reads of the CSV file; only an empty cell is NaN."""
    return pd.read_csv(
        StringIO(to_csv(table)),
        dtype=dict.fromkeys(_TEXTS, str),
        keep_default_na=False,
        na_values=[""],
    )
