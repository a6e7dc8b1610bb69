"""Real data and weights, which lie beside the checkout or where DMLBENCH_DATA points."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("DMLBENCH_DATA") or Path(__file__).parents[3] / "shared" / "data")


def real_data(name: str) -> Path:
    """Return a file or folder within the data folder; skip the test where it is not there."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{path} is not there: DMLBENCH_DATA may point to its folder")
    return path
