"""One small grid, run once through the Python API."""

from pathlib import Path

import pytest

import dmlbench

REQUEST = {
    "datasets": "digits-closed",
    "losses": "contrastive",
    "seeds": 2,
    "settings": {"protocol.length.epochs": 1, "protocol.length.steps_per_epoch": 2},
}


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[dmlbench.Records, Path]:
    """The records of a loss and two floors with two seeds each, and the folder they are in."""
    folder = tmp_path_factory.mktemp("grid")
    return dmlbench.run(**REQUEST, jobs=0, output=folder, progress=False), folder
