"""Suites: which datasets, components and seeds to run. A TOML file, or the command's options."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from dmlbench.schemas.base import Schema, dotted, is_plain, read_toml

Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What NumPy and scikit-learn take as a seed."""


class Suite(Schema):
    """A request to run trials: each loss with each miner, and each baseline, on each dataset."""

    datasets: tuple[str, ...] = Field(min_length=1)
    """References, or only ``all``: every dataset whose data are on this machine."""
    protocol: str | None = None
    """None: the protocol that each dataset names."""
    losses: tuple[str, ...] | Literal["all"] = ()
    miners: Annotated[tuple[str, ...], Field(min_length=1)] | Literal["default", "all"] = "default"
    """``default``: each loss with its own. ``all``: besides, every other miner with the first of
    the `probes` that takes what it makes."""
    probes: tuple[str, ...] = ()
    baselines: tuple[str, ...] | Literal["all", "floors"] = "floors"
    """``floors``: those that the protocol names as the least a loss must beat."""
    samplers: tuple[str, ...] = ()
    """Each makes a protocol, and so tables, of its own; ``paper``: that of each loss's source.
    Empty: the protocol's."""
    backbone: str | None = None
    """None: the protocol's."""
    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2), min_length=1)
    settings: dict[str, Any] = {}
    """``loss.margin``: a hyper-parameter; ``protocol.length.epochs``: a field of the protocol."""

    @field_validator("settings", mode="before")
    @classmethod
    def _dotted(cls, settings: Any) -> Any:
        """Read TOML's ``loss.margin = 0.3``, which is a table in a table, as one key."""
        if not isinstance(settings, dict):
            return settings
        found = dict(dotted(settings))
        for name, value in found.items():
            if not is_plain(value):
                raise ValueError(
                    f"{name} = {value} can't be kept in a record; a setting is a finite number, a "
                    "text, true, false, or a list of these"
                )
        return found


def load_suite(path: Path) -> Suite:
    """Return the suite of a TOML file.

    Raises:
        ConfigError: the file can't be read or is not a valid suite.
    """
    return read_toml(Suite, path)


def default_suite() -> Suite:
    """Return what ``dmlbench run --all`` runs; it ships as ``suites/all.toml``."""
    return read_toml(Suite, files("dmlbench") / "suites" / "all.toml")
