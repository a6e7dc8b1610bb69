"""Records made up for tables, and a protocol that differs by dataset."""

from pathlib import Path

import pytest
from support.made_records import (  # noqa: F401 - fixtures are found by their names here
    _part_fixture,
    _record_fixture,
    cross_validated,
    glyphs_records,
)

from dmlbench.schemas import protocol_file, shipped_protocols


@pytest.fixture
def paper_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ship a protocol that has other values for `cars`."""
    small = Path(shipped_protocols.FOLDER, "small.toml").read_text()
    table = "[datasets.cars]\noptimiser.lr = 0.5\nlength.epochs = 3\n"
    (tmp_path / "paper.toml").write_text(small + table)
    monkeypatch.setattr(shipped_protocols, "FOLDER", str(tmp_path))
    monkeypatch.setattr(protocol_file, "FOLDER", str(tmp_path))
