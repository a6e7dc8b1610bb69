"""Tiny official sets that pass for whole."""

import pytest
from support.official_sets import TINY


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect of each set what its tiny stand-in has."""
    for tiny in TINY.values():
        monkeypatch.setattr(tiny.plugin, "expected", tiny.expected)
